import { Link } from "react-router";
import type { Round } from "../api/shapes";
import { Card } from "../look/Card";
import { figure, interval, percent } from "../look/numbers";
import { Quiet } from "../look/states";
import { Table } from "../look/Table";

/** How each turn of the loop fared, newest first. */
export function Rounds({ rounds }: { rounds: readonly Round[] }) {
  return (
    <Card title="Rounds">
      <Table
        caption="Rounds"
        bare
        rows={rounds.toReversed()}
        id={(round) => round.round}
        columns={[
          {
            name: "Round",
            show: (round) => (round.checkpoint === null ? round.round : <Link to={`models/${String(round.checkpoint)}`}>{round.round}</Link>),
          },
          { name: "Labels", number: true, show: (round) => (round.round === 0 ? <Quiet>start</Quiet> : round.labels.toLocaleString()) },
          {
            name: "Accuracy",
            number: true,
            show: (round) => (
              <>
                {figure(round.rm_accuracy)} {round.ceiling !== null && <Quiet>of {figure(round.ceiling)}</Quiet>}
              </>
            ),
          },
          { name: "KL", number: true, show: (round) => figure(round.kl) },
          {
            name: "Win rate",
            number: true,
            show: (round) =>
              round.win_rate === null ? (
                "–"
              ) : (
                <>
                  {percent(round.win_rate.value)} <Quiet>{interval(round.win_rate)}</Quiet>
                </>
              ),
          },
        ]}
      />
    </Card>
  );
}

import { useState } from "react";
import { Link } from "react-router";
import { useContests } from "../api/models";
import type { Contest } from "../api/shapes";
import { ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { interval, percent } from "../look/numbers";
import { ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import styles from "./Models.module.css";

interface Props {
  slug: string;
  checkpoint: number;
  name: string;
  mayRun: boolean;
}

/** How often people put this policy's responses above another's, in rankings that held both, blind. */
export function Contests({ slug, checkpoint, name, mayRun }: Props) {
  const [simulated, setSimulated] = useState(false);
  const contests = useContests(slug, checkpoint, simulated);
  const found = contests.data?.contests ?? [];
  return (
    <Card
      title="Against other policies"
      aside={
        <label className={styles["toggle"]}>
          <input type="checkbox" checked={simulated} onChange={(event) => { setSimulated(event.target.checked); }} /> with simulated annotators
        </label>
      }
    >
      {contests.isPending && <Skeleton lines={2} />}
      {contests.isError && <ErrorNote error={contests.error} onRetry={() => void contests.refetch()} />}
      {contests.data !== undefined && found.length === 0 && (
        <div className={styles["contest"]}>
          <Quiet>
            {simulated ? "Nobody" : "No person"} has ranked its responses together with another policy’s yet. A sampling job with a rival mixes them, half and half, and nobody
            sees whose is whose.
          </Quiet>
          {mayRun && (
            <div>
              <ButtonLink small to={`/p/${slug}/jobs/new?kind=policy.sample`}>
                Sample with a rival
              </ButtonLink>
            </div>
          )}
        </div>
      )}
      {found.length > 0 && (
        <ul className={styles["contests"]}>
          {found.map((each) => (
            <li key={each.rival.id} className={styles["contest"]}>
              <div className={styles["name"]}>
                <span>
                  against <Link to={`../${String(each.rival.id)}`} relative="path">{each.rival.name}</Link>
                </span>
                {each.rival.is_champion && <Tag>★ champion</Tag>}
                <Verdict contest={each} />
              </div>
              <Bar contest={each} name={name} />
              <Quiet>
                <b className={styles["won"]}>{percent(each.win.value)}</b> of comparisons won {interval(each.win)} · {count(each.rankings, "ranking")} by {count(each.annotators, "annotator")}
                {!each.speaks_for_others && " · the interval is over prompts: it takes five annotators to speak for others"}
              </Quiet>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function count(number: number, what: string): string {
  return `${number.toLocaleString()} ${what}${number === 1 ? "" : "s"}`;
}

/** What the interval says, in a word. */
function Verdict({ contest: { win } }: { contest: Contest }) {
  if (win.low !== null && win.low > 0.5) return <Tag>preferred</Tag>;
  if (win.high !== null && win.high < 0.5) return <Tag tone="warn">less liked</Tag>;
  return <Tag tone="idle">not told apart yet</Tag>;
}

/** The win rate and its interval on a line from 0 to 100 %, with one half marked. */
function Bar({ contest: { win, rival }, name }: { contest: Contest; name: string }) {
  const low = win.low ?? 0;
  const high = win.high ?? 1;
  return (
    <svg className={styles["line"]} viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={`${name} wins ${percent(win.value)} of comparisons with ${rival.name} ${interval(win)}`}>
      <rect x={0} y={3.25} width={100} height={1.5} className={styles["ground"]} />
      <rect x={low * 100} y={1.5} width={Math.max((high - low) * 100, 0.5)} height={5} className={styles["span"]} />
      <rect x={49.8} y={0} width={0.4} height={8} className={styles["half"]} />
      <rect x={win.value * 100 - 0.5} y={0} width={1} height={8} className={styles["point"]} />
    </svg>
  );
}

import type { ReactNode } from "react";
import type { Labeler, Quality } from "../api/shapes";
import { percent } from "../look/numbers";
import { Quiet, Tag } from "../look/states";
import { Table } from "../look/Table";
import { Columns } from "./Columns";
import { Panel } from "./Panel";
import styles from "./Quality.module.css";
import { Whisker } from "./Whisker";
import { secondsWords, shareWords } from "./words";

/** Each annotator against the others and against known answers, how fast, and how they rate. */
export function People({ found }: { found: Quality }) {
  const slowest = Math.max(1, ...found.people.map((each) => each.pace?.upper_quartile ?? 0));
  const together = found.agreement.share?.value;
  const known = found.people.some((each) => each.known.share !== null);
  const timed = found.people.some((each) => each.pace !== null);
  const rated = found.people.some((each) => each.ratings !== null);
  const heads = ["Annotator", "Agrees with the others", known && "Known answers", timed && "Time a task", rated && "Ratings 1–7"].filter((head) => head !== false);
  const picture = (
    <ul className={styles["people"]} style={{ "--measures": heads.length - 1 } as React.CSSProperties}>
      <li className={styles["heads"]} aria-hidden="true">
        {heads.map((head) => (
          <span key={head}>{head}</span>
        ))}
      </li>
      {found.people.map((each) => (
        <li key={each.id}>
          <Who labeler={each} />
          <Measure name="Agrees with the others">
            <Share labeler={each} name="agrees with the others on" found={each.agreement.share} line={together} />
          </Measure>
          {known && (
            <Measure name="Known answers">
              <Share labeler={each} name="gives the known answer on" found={each.known.share} line={undefined} hollow />
            </Measure>
          )}
          {timed && (
            <Measure name="Time a task">
              <Pace labeler={each} slowest={slowest} />
            </Measure>
          )}
          {rated && (
            <Measure name="Ratings 1–7">
              <Given labeler={each} />
            </Measure>
          )}
        </li>
      ))}
    </ul>
  );
  const table = (
    <Table
      caption="Annotators, in numbers"
      bare
      rows={found.people}
      id={(each) => each.id}
      columns={[
        { name: "Annotator", show: (each) => each.name },
        { name: "Judgements", number: true, show: (each) => each.judgements.toLocaleString() },
        { name: "Others", number: true, show: (each) => shareWords(each.agreement.share) },
        { name: "κ", number: true, minor: true, show: (each) => each.agreement.kappa?.value.toFixed(2) ?? "–" },
        { name: "Known answers", number: true, minor: true, show: (each) => shareWords(each.known.share) },
        { name: "Median time", number: true, minor: true, show: (each) => (each.pace === null ? "–" : secondsWords(each.pace.median)) },
        { name: "Mean rating", number: true, minor: true, show: (each) => each.ratings?.mean.toFixed(1) ?? "–" },
      ]}
    />
  );
  const about = together === undefined ? "Dots with their 95 % intervals." : `Dots with their 95 % intervals; the dashed line is everyone together, ${percent(together)}.`;
  return <Panel title="Annotators" about={about} picture={picture} table={table} />;
}

/** One figure of someone; on a phone its name stands beside it, elsewhere above the column. */
function Measure({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className={styles["measure"]}>
      <span aria-hidden="true">{name}</span>
      {children}
    </div>
  );
}

function Who({ labeler }: { labeler: Labeler }) {
  return (
    <div className={styles["who"]}>
      <b>{labeler.name}</b>
      <Quiet>
        {labeler.judgements.toLocaleString()} {labeler.judgements === 1 ? "judgement" : "judgements"}
      </Quiet>
      {labeler.simulated && <Tag tone="idle">simulated</Tag>}
    </div>
  );
}

function Share({ labeler, name, found, line, hollow = false }: { labeler: Labeler; name: string; found: Labeler["agreement"]["share"]; line: number | undefined; hollow?: boolean }) {
  if (found === null) return <Quiet>nothing shared</Quiet>;
  return (
    <div className={styles["measured"]}>
      <Whisker found={found} from={0.3} line={line} hollow={hollow} label={`${labeler.name} ${name} ${shareWords(found)} of ${Math.round(found.count).toLocaleString()} pairs`} />
      <span>{percent(found.value)}</span>
    </div>
  );
}

/** The middle half of someone's times as a bar, the median as a line in it. */
function Pace({ labeler, slowest }: { labeler: Labeler; slowest: number }) {
  const { pace, name } = labeler;
  if (pace === null) return <Quiet>not timed</Quiet>;
  const at = (seconds: number): number => (100 * seconds) / slowest;
  const told = `${name} takes ${secondsWords(pace.median)} a task; half of the tasks take ${secondsWords(pace.lower_quartile)} to ${secondsWords(pace.upper_quartile)}`;
  return (
    <div className={styles["measured"]}>
      <svg className={styles["span"]} viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label={told}>
        <title>{told}</title>
        <line className={styles["axis"]} x1="0" x2="100" y1="10" y2="10" />
        <rect className={styles["middle"]} x={at(pace.lower_quartile)} width={Math.max(0.5, at(pace.upper_quartile) - at(pace.lower_quartile))} y="4" height="12" />
        <line className={styles["median"]} x1={at(pace.median)} x2={at(pace.median)} y1="2" y2="18" />
      </svg>
      <span>{secondsWords(pace.median)}</span>
    </div>
  );
}

function Given({ labeler }: { labeler: Labeler }) {
  const { ratings, name } = labeler;
  if (ratings === null) return <Quiet>no ratings</Quiet>;
  return (
    <div className={styles["given"]}>
      <Columns counts={ratings.counts} label={`Ratings of ${name}, from 1 to 7`} />
    </div>
  );
}

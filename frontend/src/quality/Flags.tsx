import type { Quality } from "../api/shapes";
import { percent } from "../look/numbers";
import { Quiet } from "../look/states";
import { Table } from "../look/Table";
import { Panel } from "./Panel";
import styles from "./Quality.module.css";
import { alphaWords, worth } from "./words";

type Flag = Quality["flags"][number];

/** Each flag that somebody raised: how often, and whether the others would have. */
export function Flags({ found }: { found: Quality }) {
  const flags = found.flags.toSorted((one, other) => other.raised - one.raised);
  if (flags.length === 0) {
    return <Panel title="Flags" picture={<Quiet>Nobody raised a flag on a task that two people judged.</Quiet>} table={<Quiet>There is nothing to count.</Quiet>} />;
  }
  const most = flags[0]?.raised ?? 1;
  const name = (flag: Flag): string => (flag.place === "task" ? `${flag.label} (task)` : flag.label);
  const picture = (
    <ul className={styles["rows"]}>
      {flags.map((flag) => (
        <li key={`${flag.place} ${flag.key}`}>
          <span>{name(flag)}</span>
          <svg className={styles["span"]} viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label={`${name(flag)} was raised in ${percent(flag.raised)} of judgements`}>
            <title>{`α ${alphaWords(flag.alpha)}`}</title>
            <rect className={styles["bar"]} x="0" width={(100 * flag.raised) / most} y="5" height="10" />
          </svg>
          <b>{percent(flag.raised)}</b>
          <Quiet>{flag.alpha === null ? "" : `α ${flag.alpha.value.toFixed(2)}, ${worth(flag.alpha.value)}`}</Quiet>
        </li>
      ))}
    </ul>
  );
  const table = (
    <Table
      caption="Flags, in numbers"
      bare
      rows={flags}
      id={(flag) => `${flag.place} ${flag.key}`}
      columns={[
        { name: "Flag", show: name },
        { name: "Raised", number: true, show: (flag) => percent(flag.raised) },
        { name: "α", number: true, show: (flag) => alphaWords(flag.alpha) },
        { name: "Another did too", number: true, minor: true, show: (flag) => percent(flag.positive) },
        { name: "Seen by two or more", number: true, minor: true, show: (flag) => flag.units.toLocaleString() },
      ]}
    />
  );
  return <Panel title="Flags" about="How often each is raised where two people or more could have, and how far they agree on it." picture={picture} table={table} />;
}

import type { Quality } from "../api/shapes";
import { percent } from "../look/numbers";
import { Quiet } from "../look/states";
import { Table } from "../look/Table";
import { Columns } from "./Columns";
import { Panel } from "./Panel";
import styles from "./Quality.module.css";

const SHOWN = 12;
const week = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** How often each rating was given, all in all and week by week. */
export function Ratings({ found }: { found: Quality }) {
  const { ratings } = found;
  const weeks = found.weeks.slice(-SHOWN);
  const moved = weeks.filter((each) => each.moved);
  if (ratings === null) {
    return <Panel title="Ratings over time" picture={<Quiet>Nobody has given ratings yet; imported rankings may lack them.</Quiet>} table={<Quiet>There is nothing to count.</Quiet>} />;
  }
  const name = (monday: string): string => week.format(new Date(`${monday}T00:00:00`));
  const picture = (
    <div className={styles["stack"]}>
      <figure className={styles["all"]}>
        <Columns counts={ratings.counts} label="All ratings, from 1 to 7" />
        <figcaption>
          {ratings.counts.map((_, index) => (
            <span key={`rating ${String(index + 1)}`}>{index + 1}</span>
          ))}
        </figcaption>
      </figure>
      <ol className={styles["weeks"]} aria-label="Week by week">
        {weeks.map((each) => (
          <li key={each.monday} data-moved={each.moved}>
            <Columns counts={each.ratings.counts} label={`Week of ${name(each.monday)}, ratings from 1 to 7`} />
            <span>{name(each.monday)}</span>
            <span>
              ⌀ {each.ratings.mean.toFixed(1)}
              {each.moved && <b> moved</b>}
            </span>
          </li>
        ))}
      </ol>
    </div>
  );
  const table = (
    <Table
      caption="Ratings week by week"
      bare
      rows={found.weeks.toReversed()}
      id={(row) => row.monday}
      columns={[
        { name: "Week of", show: (row) => name(row.monday) },
        ...ratings.counts.map((_, index) => ({
          name: String(index + 1),
          number: true,
          minor: true,
          show: (row: Quality["weeks"][number]) => percent((row.ratings.counts[index] ?? 0) / row.ratings.count),
        })),
        { name: "Mean", number: true, show: (row) => row.ratings.mean.toFixed(2) },
        { name: "Stability index", number: true, show: (row) => row.stability_index?.toFixed(2) ?? "–" },
      ]}
    />
  );
  const about =
    moved.length === 0
      ? `${ratings.count.toLocaleString()} ratings, ${ratings.mean.toFixed(1)} on average. No week differs from those before it by more than chance.`
      : `${ratings.count.toLocaleString()} ratings, ${ratings.mean.toFixed(1)} on average. In ${moved.map((each) => name(each.monday)).join(" and ")} they moved: the responses changed, or the scale did.`;
  return <Panel title="Ratings over time" about={about} picture={picture} table={table} />;
}

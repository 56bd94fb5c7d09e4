import type { Progress, Standing } from "../api/shapes";
import { Card } from "../look/Card";
import { Spoken } from "../look/states";
import { lasting } from "../look/times";
import { Agreement } from "./Agreement";
import styles from "./HomePage.module.css";

type Done = Progress["today"];

const weekday = new Intl.DateTimeFormat(undefined, { weekday: "narrow", timeZone: "UTC" });
const whole = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });

/** My today, my week, my pace, how far I agree, and the last two weeks day by day. */
export function Days({ progress, standing }: { progress: Progress; standing: Standing | undefined }) {
  const counts = progress.days.map((each) => ({ day: new Date(each.day), count: each.rankings + each.demonstrations }));
  const most = Math.max(...counts.map((each) => each.count));
  const agreement = standing?.agreement;
  const agrees = agreement != null && (agreement.others ?? agreement.known) !== null; // long ago, perhaps
  if (most === 0 && !agrees) return null;
  return (
    <Card title="Your two weeks">
      <dl className={styles["figures"]}>
        <Figure name="Today" done={progress.today} />
        <Figure name="This week" done={progress.week} />
        {agreement && <Agreement agreement={agreement} />}
      </dl>
      <ol className={styles["days"]} aria-label="Tasks submitted a day">
        {counts.map(({ day, count }, index) => (
          <li key={day.toISOString()} data-some={count > 0} data-today={index === counts.length - 1} title={`${whole.format(day)}: ${String(count)}`}>
            <span aria-hidden="true">{count > 0 ? count : ""}</span>
            <span className={styles["bar"]} style={{ height: `${String((100 * count) / Math.max(1, most))}%` }} aria-hidden="true" />
            <span aria-hidden="true">{weekday.format(day)}</span>
            <Spoken>{`${whole.format(day)}: ${String(count)}`}</Spoken>
          </li>
        ))}
      </ol>
    </Card>
  );
}

function Figure({ name, done }: { name: string; done: Done }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <b>{done.rankings + done.demonstrations}</b>{" "}
        <span>
          {done.rankings} ranked · {done.demonstrations} written
          {done.seconds_each !== null && ` · ${lasting(done.seconds_each)} each`}
        </span>
      </dd>
    </div>
  );
}

import { useMemo, useState } from "react";
import type { Curves } from "../api/curves";
import { Button } from "../look/Button";
import { figure } from "../look/numbers";
import { Table } from "../look/Table";
import { type Alarm, alarmName, alarmsAt } from "./alarms";
import { Chart } from "./Chart";
import styles from "./Curves.module.css";
import { aligned, metricName, type Panel, panelsOf, quantityName, singlesOf, stageName } from "./panels";

/** Every curve of a job, by stage; the table behind each is one click away. */
export default function CurveBoard({ curves, alarms }: { curves: Curves; alarms: readonly Alarm[] }) {
  const panels = useMemo(() => panelsOf(curves.series), [curves]);
  const singles = useMemo(() => singlesOf(curves.series), [curves]);
  const stages = [...new Set(panels.map((panel) => panel.stage))];
  return (
    <>
      {stages.map((stage) => (
        <section key={stage} aria-label={stageName(stage)} className={styles["stage"]}>
          <h2>{stageName(stage)}</h2>
          <div className={styles["panels"]}>
            {panels
              .filter((panel) => panel.stage === stage)
              .map((panel) => (
                <PanelView key={panel.quantity} panel={panel} alarms={alarmsAt(alarms, panel.stage, panel.quantity)} />
              ))}
          </div>
        </section>
      ))}
      {singles.length > 0 && (
        <section aria-label="Single numbers" className={styles["stage"]}>
          <h2>Single numbers</h2>
          <dl className={styles["singles"]}>
            {singles.map(({ name, value }) => (
              <div key={name}>
                <dt>{metricName(name)}</dt>
                <dd>{figure(value)}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
    </>
  );
}

const ROWS = 500;

function PanelView({ panel, alarms }: { panel: Panel; alarms: readonly Alarm[] }) {
  const [table, setTable] = useState(false);
  const title = quantityName(panel.quantity);
  const marked = alarms.map((alarm) => alarm.step).join(" ");
  const marks = useMemo(() => (marked === "" ? [] : marked.split(" ").map(Number)), [marked]);
  return (
    <div className={styles["panel"]}>
      {table ? <Numbers panel={panel} title={title} /> : <Chart title={title} lines={panel.lines} marks={marks} />}
      {alarms.map((alarm) => (
        <p key={`${String(alarm.step)} ${alarm.name}`} className={styles["alarm"]}>
          ▲ step {alarm.step.toLocaleString()}: {alarmName(alarm.name)}
        </p>
      ))}
      <Button look="quiet" small className={styles["switch"]} aria-pressed={table} aria-label={`${table ? "Chart" : "Table"} of ${title}`} onClick={() => { setTable(!table); }}>
        {table ? "Chart" : "Table"}
      </Button>
    </div>
  );
}

function Numbers({ panel, title }: { panel: Panel; title: string }) {
  const { steps, values } = aligned(panel.lines);
  const rows = steps.map((step, index) => ({ step, values: values.map((column) => column[index] ?? null) })).slice(-ROWS).toReversed();
  return (
    <div className={styles["numbers"]}>
      <b>{title}</b>
      <Table
        caption={`${title}, newest first`}
        bare
        rows={rows}
        id={(row) => row.step}
        columns={[
          { name: "Step", show: (row) => row.step.toLocaleString() },
          ...panel.lines.map((line, index) => ({ name: line.role, number: true, show: (row: (typeof rows)[number]) => figure(row.values[index]) })),
        ]}
      />
    </div>
  );
}

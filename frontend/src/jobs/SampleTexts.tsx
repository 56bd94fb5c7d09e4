import { useState } from "react";
import type { JobEvent } from "../api/events";
import { Card } from "../look/Card";
import { figure } from "../look/numbers";
import { Quiet } from "../look/states";
import styles from "./Jobs.module.css";

/** What the policy wrote to the same prompts as it learned; a slider goes through the steps. */
export function SampleTexts({ events }: { events: readonly JobEvent[] }) {
  const looks = events.filter((event) => event.event === "samples");
  const [picked, setPicked] = useState<number | null>(null);
  const at = picked ?? looks.length - 1;
  const look = looks[at];
  if (look === undefined) return null;
  return (
    <Card title="What it writes" aside={<Quiet>step {look.step.toLocaleString()}</Quiet>}>
      <div className={styles["samples"]}>
        {looks.length > 1 && (
          <label className={styles["pick"]}>
            <Quiet>earlier</Quiet>
            <input
              type="range"
              min={0}
              max={looks.length - 1}
              value={at}
              aria-label="Step"
              aria-valuetext={`step ${String(look.step)}`}
              onChange={(event) => {
                const value = Number(event.target.value);
                setPicked(value === looks.length - 1 ? null : value);
              }}
            />
            <Quiet>now</Quiet>
          </label>
        )}
        {look.rows.map((row) => (
          <div key={row.prompt} className={styles["sample"]}>
            <Quiet>
              {row.prompt}
              {row.reward != null && ` · reward ${figure(row.reward)}`}
            </Quiet>
            <blockquote dir="auto">{row.response}</blockquote>
          </div>
        ))}
      </div>
    </Card>
  );
}

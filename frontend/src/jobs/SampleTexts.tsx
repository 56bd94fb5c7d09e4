import { useState } from "react";
import type { JobEvent, SampleRow } from "../api/events";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { figure } from "../look/numbers";
import { Quiet, Spoken } from "../look/states";
import { type Alarm, alarmName } from "../machine/alarms";
import styles from "./Jobs.module.css";
import { type Look, looksOf, spread } from "./looks";

const COLUMNS = 3;
const PROMPTS = 4;
const COLUMN_REM = 17;

/** What the policy wrote to the same prompts as it learned, side by side over the steps. */
export function SampleTexts({ events, alarms }: { events: readonly JobEvent[]; alarms: readonly Alarm[] }) {
  const looks = looksOf(events);
  const [allSteps, setAllSteps] = useState(false);
  const [allPrompts, setAllPrompts] = useState(false);
  const newest = looks.at(-1);
  if (newest === undefined) return null;
  const shown = allSteps ? looks : spread(looks, COLUMNS);
  const prompts = newest.rows.slice(0, allPrompts ? undefined : PROMPTS);
  return (
    <Card
      title="What it writes"
      aside={
        looks.length > COLUMNS && (
          <Button small look="quiet" aria-pressed={allSteps} onClick={() => { setAllSteps(!allSteps); }}>
            {allSteps ? "First, middle and last step" : `All ${String(looks.length)} looks`}
          </Button>
        )
      }
    >
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className={styles["looks"]} data-sideways tabIndex={0} role="region" aria-label="What it writes to the same prompts, step by step">
        <table style={{ minWidth: `${String(shown.length * COLUMN_REM)}rem` }}>
          <thead>
            <tr>
              {shown.map((look, index) => (
                <th key={look.step} scope="col">
                  step {look.step.toLocaleString()}
                  <Raised alarms={alarms} after={shown[index - 1]?.step ?? -1} upTo={look.step} />
                </th>
              ))}
            </tr>
          </thead>
          {prompts.map(({ prompt }) => (
            <tbody key={prompt}>
              <tr>
                <th scope="rowgroup" colSpan={shown.length}>
                  <span>{prompt}</span>
                </th>
              </tr>
              <tr>
                {shown.map((look) => (
                  <Response key={look.step} look={look} prompt={prompt} />
                ))}
              </tr>
            </tbody>
          ))}
        </table>
      </div>
      {newest.rows.length > PROMPTS && (
        <div className={styles["more"]}>
          <Button small look="quiet" aria-pressed={allPrompts} onClick={() => { setAllPrompts(!allPrompts); }}>
            {allPrompts ? `The first ${String(PROMPTS)} prompts` : `All ${String(newest.rows.length)} prompts`}
          </Button>
        </div>
      )}
    </Card>
  );
}

function Response({ look, prompt }: { look: Look; prompt: string }) {
  const row: SampleRow | undefined = look.rows.find((each) => each.prompt === prompt);
  if (row === undefined) return <td />;
  return (
    <td>
      <Spoken>Step {look.step}: </Spoken>
      <blockquote dir="auto">{row.response}</blockquote>
      {row.reward != null && <Quiet>reward {figure(row.reward)}</Quiet>}
    </td>
  );
}

/** The alarms between one look and the next. */
function Raised({ alarms, after, upTo }: { alarms: readonly Alarm[]; after: number; upTo: number }) {
  const between = alarms.filter((alarm) => alarm.step > after && alarm.step <= upTo);
  return between.map((alarm) => (
    <span key={`${String(alarm.step)} ${alarm.name}`} className={styles["raised"]}>
      ▲ {alarmName(alarm.name)}, step {alarm.step.toLocaleString()}
    </span>
  ));
}

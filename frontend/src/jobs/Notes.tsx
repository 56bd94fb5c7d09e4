import type { JobEvent } from "../api/events";
import type { Attempt } from "../api/shapes";
import { Card } from "../look/Card";
import { Quiet } from "../look/states";
import { actionName, alarmName } from "../machine/alarms";
import { atClock, exactly, lasting } from "../look/times";
import styles from "./Jobs.module.css";

interface Entry {
  at: number;
  text: string;
}

/** What the trainer said in words, between the attempts that were made. */
export function Notes({ events, attempts }: { events: readonly JobEvent[]; attempts: readonly Attempt[] }) {
  const entries = [...events.flatMap(fromEvent), ...attempts.flatMap(fromAttempt)].toSorted((one, other) => other.at - one.at);
  return (
    <Card title="What happened">
      {entries.length === 0 && <Quiet>Nothing yet. Notes of the trainer and each attempt appear here.</Quiet>}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <ol className={styles["notes"]} tabIndex={0} aria-label="What happened, newest first">
        {entries.map((entry) => {
          const iso = new Date(entry.at).toISOString();
          return (
            <li key={`${String(entry.at)} ${entry.text}`}>
              <time dateTime={iso} title={exactly(iso)}>
                {atClock(new Date(entry.at))}
              </time>
              <span>{entry.text}</span>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}

function fromEvent(event: JobEvent): Entry[] {
  const at = event.at * 1000;
  if (event.event === "note") return [{ at, text: event.text }];
  if (event.event === "alarm") return [{ at, text: `Alarm at step ${event.step.toLocaleString()}, ${alarmName(event.name)}: ${event.text} (${actionName(event.action)})` }];
  if (event.event === "pause") return [{ at, text: "It pauses, and waits for somebody to resume it." }];
  if (event.event === "error") return [{ at, text: `Failed: ${event.message}` }];
  if (event.event === "done") return [{ at, text: "The output is complete." }];
  return [];
}

function fromAttempt(attempt: Attempt): Entry[] {
  const begun = new Date(attempt.started_at).getTime();
  const entries = [{ at: begun, text: `Attempt ${String(attempt.number)} begins on ${attempt.host}.` }];
  if (attempt.ended_at === null) return entries;
  const end = new Date(attempt.ended_at).getTime();
  const took = lasting((end - begun) / 1000);
  return [...entries, { at: end, text: `Attempt ${String(attempt.number)}: ${attempt.outcome} after ${took}.` }];
}

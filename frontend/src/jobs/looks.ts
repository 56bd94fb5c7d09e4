import type { JobEvent, SampleRow } from "../api/events";

/** What was written to the fixed prompts at a step. */
export interface Look {
  step: number;
  rows: readonly SampleRow[];
}

/** The looks of a job by step, each once: an attempt that goes on from a savepoint may look again. */
export function looksOf(events: readonly JobEvent[]): Look[] {
  const found = new Map<number, Look>();
  for (const event of events) if (event.event === "samples") found.set(event.step, event);
  return [...found.values()].toSorted((one, other) => one.step - other.step);
}

/** At most so many of them: the first, the last, and what lies evenly between. */
export function spread<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, index) => items[Math.round((index * (items.length - 1)) / (count - 1))]).filter((item) => item !== undefined);
}

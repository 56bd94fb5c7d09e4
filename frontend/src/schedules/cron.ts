/** Cron lines, read aloud and looked ahead; the server's reading is the one that counts when it fires. */
import { Cron } from "croner";
import cronstrue from "cronstrue";

/** The line in words, "At 03:00, only on Monday"; null where it cannot be read. */
export function cronWords(line: string): string | null {
  if (cronFault(line) !== null) return null;
  try {
    return cronstrue.toString(line, { use24HourTimeFormat: true, verbose: false });
  } catch {
    return null;
  }
}

/** What is wrong with the line; null when nothing is. */
export function cronFault(line: string): string | null {
  if (line.trim().split(/\s+/).length !== 5) return "A cron line has five fields: minute, hour, day of the month, month, day of the week.";
  try {
    new Cron(line.trim(), { paused: true });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.replace(/^CronPattern: /, "") : "This line cannot be read.";
  }
}

/** The next runs of a cron line on the clocks of a time zone; null where either cannot be read. */
export function nextRuns(line: string, timezone: string, after: Date, count = 3): Date[] | null {
  if (cronFault(line) !== null) return null;
  try {
    return new Cron(line.trim(), { paused: true, timezone }).nextRuns(count, after);
  } catch {
    return null;
  }
}

/** Cron lines, read aloud and looked ahead; the server's reading is the one that counts when it fires. */

interface Part {
  from: number;
  to: number;
  names?: readonly string[];
}

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_NAMES = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const PARTS: readonly Part[] = [
  { from: 0, to: 59 },
  { from: 0, to: 23 },
  { from: 1, to: 31 },
  { from: 1, to: 12, names: MONTHS },
  { from: 0, to: 7, names: DAYS },
];

function numberOf(text: string, part: Part): number | null {
  const named = part.names?.indexOf(text.toLowerCase().slice(0, 3)) ?? -1;
  if (named >= 0) return named + (part.from === 1 ? 1 : 0);
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= part.from && value <= part.to ? value : null;
}

/** The values of one field, or null where it cannot be read here. */
function valuesOf(text: string, part: Part): Set<number> | null {
  const values = new Set<number>();
  for (const piece of text.split(",")) {
    const [range = "", stepText] = piece.split("/");
    const step = stepText === undefined ? 1 : Number(stepText);
    if (!Number.isInteger(step) || step < 1) return null;
    const [first = "", last] = range.split("-");
    const from = range === "*" ? part.from : numberOf(first, part);
    const to = range === "*" ? part.to : last === undefined ? (stepText === undefined ? from : part.to) : numberOf(last, part);
    if (from === null || to === null || from > to) return null;
    for (let value = from; value <= to; value += step) values.add(part.names === DAYS ? value % 7 : value);
  }
  return values;
}

function fieldsOf(line: string): string[] | null {
  const fields = line.trim().split(/\s+/);
  return fields.length === PARTS.length ? fields : null;
}

function clock(hour: string, minute: string): string {
  return `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
}

/** The usual lines in words: every day at 03:00. Null for the unusual ones. */
export function cronWords(line: string): string | null {
  const fields = fieldsOf(line);
  if (fields === null || fields.some((field, index) => valuesOf(field, PARTS[index] ?? { from: 0, to: 0 }) === null)) return null;
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = fields;
  const number = /^\d+$/;
  const days = day === "*" && month === "*";
  const everyMinutes = /^\*\/(\d+)$/.exec(minute);
  if (days && weekday === "*" && hour === "*") {
    if (minute === "*") return "every minute";
    if (everyMinutes) return `every ${everyMinutes[1] ?? ""} minutes`;
    if (number.test(minute)) return `every hour at minute ${minute}`;
  }
  if (!number.test(minute) || !number.test(hour)) return null;
  const at = clock(hour, minute);
  if (days && weekday === "*") return `every day at ${at}`;
  if (days && weekday === "1-5") return `Monday to Friday at ${at}`;
  const one = numberOf(weekday, PARTS[4] ?? { from: 0, to: 7 });
  if (days && one !== null) return `every ${DAY_NAMES[one % 7] ?? ""} at ${at}`;
  if (month === "*" && weekday === "*" && number.test(day)) return `on day ${day} of each month at ${at}`;
  return null;
}

const MINUTE = 60_000;
const A_YEAR = 366 * 24 * 60 * MINUTE;

/** The next runs of a cron line on the clocks of a time zone; null where the line cannot be read here. */
export function nextRuns(line: string, timezone: string, after: Date, count = 3): Date[] | null {
  const fields = fieldsOf(line);
  const values = fields?.map((field, index) => valuesOf(field, PARTS[index] ?? { from: 0, to: 0 }));
  if (fields === null || values === undefined || values.includes(null)) return null;
  const [minutes, hours, days, months, weekdays] = values;
  const eitherDay = fields[2] !== "*" && fields[4] !== "*";
  const read = clockOf(timezone);
  if (read === null) return null;
  const runs: Date[] = [];
  let moment = new Date(Math.floor(after.getTime() / MINUTE) * MINUTE + MINUTE);
  while (runs.length < count && moment.getTime() - after.getTime() < A_YEAR) {
    const at = read(moment);
    const day = days?.has(at.day) ?? false;
    const weekday = weekdays?.has(at.weekday) ?? false;
    const isDay = (months?.has(at.month) ?? false) && (eitherDay ? day || weekday : day && weekday);
    if (!isDay || hours?.has(at.hour) === false) {
      // A day that does not count is left by its last hour, because a day may have 23 hours.
      const hour = isDay ? 1 : Math.max(1, 23 - at.hour);
      moment = new Date(moment.getTime() + (60 * hour - at.minute) * MINUTE);
      continue;
    }
    if (minutes?.has(at.minute) === true) runs.push(moment);
    moment = new Date(moment.getTime() + MINUTE);
  }
  return runs;
}

type Clock = (moment: Date) => { minute: number; hour: number; day: number; month: number; weekday: number };

/** A reader of a zone's clock, or null where there is no such zone. */
function clockOf(timezone: string): Clock | null {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, minute: "2-digit", hour: "2-digit", day: "numeric", month: "numeric", weekday: "short", hourCycle: "h23" });
  } catch {
    return null;
  }
  return (moment) => {
    const parts = new Map(format.formatToParts(moment).map((part) => [part.type, part.value]));
    const number = (name: Intl.DateTimeFormatPartTypes): number => Number(parts.get(name));
    return {
      minute: number("minute"),
      hour: number("hour"),
      day: number("day"),
      month: number("month"),
      weekday: DAYS.indexOf((parts.get("weekday") ?? "").toLowerCase()),
    };
  };
}

import type { FlagName, Settings, SettingsChange } from "../api/shapes";

/** The settings as they are typed: numbers are texts, and a rule that is off has an empty one. */
export interface Typed {
  responses_per_task: string;
  overlap: string;
  overlap_percent: string;
  extra_below: string;
  lease_minutes: string;
  skip_limit: string;
  daily_limit: string;
  gold_percent: string;
  qualification_tasks: string;
  qualification_percent: string;
  order: Settings["order"];
  shows_agreement: boolean;
  response_flags: FlagName[];
  task_flags: FlagName[];
}

const NUMBERS = ["responses_per_task", "overlap", "overlap_percent", "skip_limit", "gold_percent", "qualification_tasks", "qualification_percent"] as const;
const RULES = ["extra_below", "daily_limit"] as const;

export function toTyped(settings: Settings): Typed {
  const text = (value: number | null | undefined): string => (value == null ? "" : String(value));
  return {
    responses_per_task: text(settings.responses_per_task),
    overlap: text(settings.overlap),
    overlap_percent: text(settings.overlap_percent),
    extra_below: text(settings.extra_below),
    lease_minutes: String(settings.lease_seconds / 60),
    skip_limit: text(settings.skip_limit),
    daily_limit: text(settings.daily_limit),
    gold_percent: text(settings.gold_percent),
    qualification_tasks: text(settings.qualification_tasks),
    qualification_percent: text(settings.qualification_percent),
    order: settings.order,
    shows_agreement: settings.shows_agreement,
    response_flags: settings.label_set.response_flags,
    task_flags: settings.label_set.task_flags,
  };
}

/** What was changed, as the server wants it; a text that is no number goes as it is and is refused at its field. */
export function changesOf(typed: Typed, before: Settings): Partial<SettingsChange> {
  const was = toTyped(before);
  const said: Record<string, unknown> = {};
  for (const name of NUMBERS) if (typed[name] !== was[name]) said[name] = asNumber(typed[name]);
  for (const name of RULES) if (typed[name] !== was[name]) said[name] = typed[name].trim() === "" ? null : asNumber(typed[name]);
  if (typed.lease_minutes !== was.lease_minutes) {
    const minutes = asNumber(typed.lease_minutes);
    said["lease_seconds"] = typeof minutes === "number" ? Math.round(60 * minutes) : minutes;
  }
  if (typed.order !== was.order) said["order"] = typed.order;
  if (typed.shows_agreement !== was.shows_agreement) said["shows_agreement"] = typed.shows_agreement;
  const flags = { response_flags: typed.response_flags, task_flags: typed.task_flags };
  if (JSON.stringify(flags) !== JSON.stringify({ response_flags: was.response_flags, task_flags: was.task_flags })) said["label_set"] = flags;
  return said;
}

function asNumber(text: string): number | string {
  const value = Number(text);
  return text.trim() === "" || !Number.isFinite(value) ? text : value;
}

/** A key for a new flag, made of its words: "Too long" is too_long, and a second one too_long_2. */
export function keyFor(label: string, taken: readonly string[]): string {
  const words = label
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .replaceAll(/^[_0-9]+|_+$/g, "");
  const key = words === "" ? "flag" : words.slice(0, 56);
  let number = 2;
  let found = key;
  while (taken.includes(found)) found = `${key}_${String(number++)}`;
  return found;
}

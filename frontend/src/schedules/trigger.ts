import type { Trigger } from "../api/shapes";

export type TriggerType = Trigger["type"];

/** A trigger as its fields hold it. */
export interface TypedTrigger {
  type: TriggerType;
  /** Local date and time, as the browser's field writes it. */
  at: string;
  cron: string;
  timezone: string;
  kind: string;
  measure: string;
  atLeast: string;
}

function local(date: Date): string {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

export function toTyped(trigger: Trigger | undefined): TypedTrigger {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return {
    type: trigger?.type ?? "at",
    at: local(trigger?.at === undefined ? new Date(Date.now() + 3_600_000) : new Date(trigger.at)),
    cron: trigger?.cron ?? "0 3 * * *",
    timezone: trigger?.timezone ?? zone,
    kind: trigger?.kind ?? "",
    measure: trigger?.measure ?? "",
    atLeast: trigger?.at_least === undefined ? "" : String(trigger.at_least),
  };
}

/** Only what belongs to the type is sent. */
export function toServer(typed: TypedTrigger): Trigger {
  switch (typed.type) {
    case "at":
      return { type: "at", ...(typed.at !== "" && { at: new Date(typed.at).toISOString() }) };
    case "cron":
      return { type: "cron", cron: typed.cron.trim(), timezone: typed.timezone.trim() };
    case "after":
      return { type: "after", kind: typed.kind };
    case "measure":
      return { type: "measure", measure: typed.measure, ...(typed.atLeast.trim() !== "" && { at_least: Number(typed.atLeast) }) };
  }
}

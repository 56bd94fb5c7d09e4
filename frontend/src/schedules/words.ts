import type { Trigger } from "../api/shapes";
import { figure } from "../look/numbers";
import { when } from "../look/times";
import { cronWords } from "./cron";

/** When a schedule fires, in a sentence. */
export function inWords(trigger: Trigger, titles: ReadonlyMap<string, string>): string {
  switch (trigger.type) {
    case "at":
      return trigger.at === undefined ? "at a time" : `once, ${when(trigger.at)}`;
    case "cron":
      return `${(cronWords(trigger.cron ?? "") ?? (trigger.cron ?? "")).replace(/^[AE]/, (letter) => letter.toLowerCase())} (${trigger.timezone ?? "UTC"})`;
    case "after":
      return `after each “${titles.get(trigger.kind ?? "") ?? trigger.kind ?? ""}”`;
    case "measure":
      return `once ${trigger.measure ?? ""} reaches ${figure(trigger.at_least)}`;
  }
}

import type { JobEvent } from "../api/events";
import { stageOf } from "./panels";

/** An alarm that went off at a step of a job. */
export interface Alarm {
  step: number;
  name: string;
  text: string;
  action: string;
}

interface Kind {
  words: string;
  /** The quantities whose curves show it. */
  seen: readonly string[];
}

const KINDS: Record<string, Kind> = {
  kl_running_away: { words: "KL running away", seen: ["kl", "sqrt_kl"] },
  length_drifting: { words: "length drifting", seen: ["length"] },
  entropy_collapsing: { words: "entropy collapsing", seen: ["entropy"] },
  reward_up_while_ensemble_disagrees: { words: "reward up while its judges disagree", seen: ["reward", "disagreement"] },
  negative_kl: { words: "KL below zero", seen: ["kl"] },
};

const DONE: Record<string, string> = {
  note: "noted",
  pause: "the run paused",
  stop: "the run was ended",
  roll_back: "the run was ended and rolled back",
};

export function alarmName(name: string): string {
  return KINDS[name]?.words ?? name.replaceAll("_", " ");
}

/** What was done about it. */
export function actionName(action: string): string {
  return DONE[action] ?? action;
}

/** The alarms of a job in their order, each once: an attempt that goes on from a savepoint says again what it sees again. */
export function alarmsOf(events: readonly JobEvent[]): Alarm[] {
  const found = new Map<string, Alarm>();
  for (const event of events) if (event.event === "alarm") found.set(`${String(event.step)} ${event.name}`, event);
  return [...found.values()].toSorted((one, other) => one.step - other.step);
}

/** Those that a curve shows. */
export function alarmsAt(alarms: readonly Alarm[], stage: string, quantity: string): Alarm[] {
  if (stage !== stageOf("ppo/kl")) return [];
  return alarms.filter((alarm) => KINDS[alarm.name]?.seen.includes(quantity) === true);
}

import { describe, expect, test } from "vitest";
import type { JobEvent } from "../api/events";
import { alarmName, alarmsAt, alarmsOf } from "./alarms";

function alarm(step: number, name: string): JobEvent {
  return { at: step, event: "alarm", step, name, text: "It is so.", action: "note" };
}

describe("alarms", () => {
  test("are shown once, in order, however often an attempt says them again", () => {
    const events = [alarm(9, "length_drifting"), alarm(4, "negative_kl"), { at: 1, event: "note", text: "…" } as const, alarm(9, "length_drifting")];
    expect(alarmsOf(events).map((each) => [each.step, each.name])).toEqual([
      [4, "negative_kl"],
      [9, "length_drifting"],
    ]);
  });

  test("stand on the curves that show them", () => {
    const alarms = alarmsOf([alarm(2, "reward_up_while_ensemble_disagrees")]);
    expect(alarmsAt(alarms, "ppo", "disagreement")).toHaveLength(1);
    expect(alarmsAt(alarms, "ppo", "kl")).toHaveLength(0);
    expect(alarmsAt(alarms, "sft", "reward")).toHaveLength(0);
  });

  test("have a name even when this page does not know them", () => {
    expect(alarmName("something_new")).toBe("something new");
  });
});

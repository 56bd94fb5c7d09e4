import { describe, expect, test } from "vitest";
import { configOf, inputsOf, settingsOf, typedFrom } from "./order";

const schema = {
  type: "object",
  properties: {
    epochs: { type: "integer", minimum: 1, default: 1, title: "Epochs" },
    rate: { type: "number", exclusiveMinimum: 0, default: 0.0001 },
    ties: { type: "string", enum: ["half", "skip"], default: "half" },
    seed_words: { type: "array", items: { type: "string" }, default: ["a", "b"] },
    limit: { type: ["integer", "null"], default: null },
    sampling: { type: "object", properties: { temperature: { type: "number", default: 1 } } },
    compile: { type: "boolean", default: false },
  },
};
const settings = settingsOf(schema);

describe("an order", () => {
  test("sends only what differs from the defaults", () => {
    expect(configOf(settings, {})).toEqual({});
    expect(configOf(settings, { epochs: "1", ties: "half", compile: "false", seed_words: "a, b", limit: "" })).toEqual({});
  });

  test("sends what was typed as JSON of its type, groups within groups", () => {
    const typed = { epochs: "3", rate: "2e-5", ties: "skip", seed_words: "x, 2", limit: "9", "sampling.temperature": "0.7", compile: "true" };
    expect(configOf(settings, typed)).toEqual({ epochs: 3, rate: 2e-5, ties: "skip", seed_words: ["x", 2], limit: 9, sampling: { temperature: 0.7 }, compile: true });
  });

  test("leaves what is no number for the server to refuse by name", () => {
    expect(configOf(settings, { epochs: "many" })).toEqual({ epochs: "many" });
  });

  test("comes back from a configuration as it was typed", () => {
    const config = { epochs: 3, sampling: { temperature: 0.7 }, limit: null };
    expect(configOf(settings, typedFrom(settings, config))).toEqual({ epochs: 3, sampling: { temperature: 0.7 } });
  });

  test("says its limits in words", () => {
    expect(settings.map((setting) => [setting.path, setting.limits])).toContainEqual(["epochs", "at least 1"]);
    expect(settings.map((setting) => [setting.path, setting.limits])).toContainEqual(["rate", "more than 0"]);
  });

  test("says which inputs it does without, so that no default takes their place", () => {
    expect(inputsOf({ kind: "k", typed: {}, inputs: { policy: "champion", text: "", prompts: { job: 3 } } })).toEqual({ policy: "champion", text: "", prompts: { job: 3 } });
  });
});

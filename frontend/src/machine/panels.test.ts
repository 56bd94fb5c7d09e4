import { describe, expect, test } from "vitest";
import { aligned, metricName, panelsOf, singlesOf } from "./panels";

const series = {
  "rm/loss": [[1, 0.7], [2, 0.6], [3, null]],
  "rm/valid_loss": [[1, 0.71], [3, 0.65]],
  "rm/learning_rate": [[1, 1e-4], [2, 5e-5]],
  "rm/test_accuracy": [[3, 0.7]],
} as const;

describe("curves", () => {
  test("of one quantity share a panel, training and valid side by side, the machinery last", () => {
    expect(panelsOf(series).map((panel) => [panel.quantity, panel.lines.map((line) => line.role)])).toEqual([
      ["loss", ["training", "valid"]],
      ["learning_rate", ["training"]],
    ]);
  });

  test("share one axis of steps; where a line says nothing there is nothing", () => {
    const panel = panelsOf(series)[0];
    expect(aligned(panel?.lines ?? [])).toEqual({ steps: [1, 2, 3], values: [[0.7, 0.6, null], [0.71, null, 0.65]] });
  });

  test("with a single point are numbers, not curves", () => {
    expect(singlesOf(series)).toEqual([{ name: "rm/test_accuracy", value: 0.7 }]);
  });

  test("and single numbers are called what people call them", () => {
    expect(metricName("sft/valid_loss")).toBe("Fine-tuning: valid loss");
    expect(metricName("ppo/kl")).toBe("PPO: KL");
  });
});

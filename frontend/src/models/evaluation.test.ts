import { describe, expect, it } from "vitest";
import { between, evaluationOf, limits, withoutFigures } from "./evaluation";

const measured = { prompts: 3, calibration: { bins: [], ece: null } };

describe("evaluationOf", () => {
  it("reads the held-out test where there is one, and the valid prompts else", () => {
    expect(evaluationOf({ evaluation: { valid: measured, test: measured } })?.split).toBe("test");
    expect(evaluationOf({ evaluation: { valid: measured, test: { prompts: 0 } } })?.split).toBe("valid");
  });

  it("finds nothing on a card that holds no measurements", () => {
    for (const card of [{}, { evaluation: 3 }, { evaluation: { valid: { prompts: 0 } } }, { evaluation: { valid: { prompts: 2 } } }]) {
      expect(evaluationOf(card)).toBeNull();
    }
  });

  it("draws only points of the learning curve that were measured", () => {
    const point = { share: 1, prompts: 9, accuracy: { value: 0.7, count: 5 }, log_loss: { value: 0.5, count: 5 } };
    const unmeasured = { share: 0.5, prompts: 4, accuracy: null, log_loss: null };
    const card = { evaluation: { valid: { prompts: 0 }, test: measured, learning_curve: [unmeasured, point, 3] } };
    expect(evaluationOf(card)?.curve).toEqual([point]);
  });

  it("leaves the rest of the card to be read out", () => {
    const rest = withoutFigures({ seed: 1, evaluation: { valid: measured, test: measured, steps: 9, learning_curve: [], reliability: null } });
    expect(rest).toEqual({ seed: 1, evaluation: { steps: 9 } });
  });
});

describe("limits", () => {
  it("holds every value between round tenths and shows chance", () => {
    expect(limits([0.62, 0.81, null])).toEqual([0.5, 0.9]);
    expect(limits([0.31, 0.99])).toEqual([0.3, 1]);
    expect(limits([])).toEqual([0.5, 0.7]);
  });
});

describe("between", () => {
  it("says an interval only where there is one", () => {
    expect(between({ value: 0.7, count: 9, low: 0.65, high: 0.75 })).toBe("65–75");
    expect(between({ value: 0.7, count: 1 })).toBe("");
  });
});

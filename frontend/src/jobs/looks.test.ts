import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JobEvent } from "../api/events";
import { looksOf, spread } from "./looks";

describe("looks", () => {
  test("stand in the order of their steps, the newest word of a step for the older one", () => {
    const look = (step: number, response: string): JobEvent => ({ at: 0, event: "samples", step, rows: [{ prompt: "p", response }] });
    const found = looksOf([look(0, "a"), look(4, "old"), look(4, "new"), look(2, "b")]);
    expect(found.map((each) => [each.step, each.rows[0]?.response])).toEqual([
      [0, "a"],
      [2, "b"],
      [4, "new"],
    ]);
  });

  test("are shown in part: always the first and the last, in order, none twice", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 2, max: 6 }), (length, count) => {
        const items = Array.from({ length }, (_, index) => index);
        const some = spread(items, count);
        expect(some).toHaveLength(Math.min(length, count));
        expect([some[0], some.at(-1)]).toEqual([0, length - 1]);
        expect([...new Set(some)].toSorted((one, other) => one - other)).toEqual(some);
      }),
    );
  });
});

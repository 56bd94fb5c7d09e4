import { expect, test } from "vitest";
import { dense, orderWords, tiers } from "./ranks";

const names = new Map([["p", "A"], ["q", "B"], ["r", "C"]]);

test("ties stand together, best first", () => {
  expect(tiers({ p: 2, q: 1, r: 2 })).toEqual([["q"], ["p", "r"]]);
  expect(orderWords({ p: 2, q: 1, r: 2 }, names)).toBe("B › A = C");
});

test("gaps close up and ties stay", () => {
  expect(dense({ p: 1, q: 4, r: 4 })).toEqual({ p: 1, q: 2, r: 2 });
  expect(dense({ p: 3, q: 3, r: 3 })).toEqual({ p: 1, q: 1, r: 1 });
});

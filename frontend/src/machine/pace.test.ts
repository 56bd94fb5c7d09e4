import { describe, expect, test } from "vitest";
import { paceOf } from "./pace";

const begun = "2026-11-20T10:00:00Z";
const now = new Date(begun).getTime() + 100_000;
const job = (done: number, total: number) => ({ progress: { done, total, unit: "steps" }, started_at: begun });

describe("the pace of a job", () => {
  test("is told from its beginning while this page has seen too little", () => {
    expect(paceOf(job(50, 200), [], now)).toEqual({ share: 0.25, perSecond: 0.5, secondsLeft: 300 });
  });

  test("is told from what was seen lately once there is enough", () => {
    const pace = paceOf(job(50, 200), [{ at: now - 10_000, done: 40 }], now);
    expect(pace.perSecond).toBe(1);
    expect(pace.secondsLeft).toBe(150);
  });

  test("is unknown while nothing is done", () => {
    expect(paceOf({ progress: null, started_at: begun }, [], now)).toEqual({ share: null, perSecond: null, secondsLeft: null });
    expect(paceOf(job(0, 200), [], now)).toEqual({ share: 0, perSecond: null, secondsLeft: null });
  });
});

import { describe, expect, test } from "vitest";
import { cronWords, nextRuns } from "./cron";

const from = new Date("2026-11-20T10:30:30Z"); // a Friday

describe("a cron line", () => {
  test.each([
    ["0 3 * * *", "every day at 03:00"],
    ["*/15 * * * *", "every 15 minutes"],
    ["30 7 * * 1-5", "Monday to Friday at 07:30"],
    ["0 9 * * mon", "every Monday at 09:00"],
    ["0 4 1 * *", "on day 1 of each month at 04:00"],
    ["5 4-6 * * *", null],
    ["61 * * * *", null],
    ["nonsense", null],
  ])("%s is read as %s", (line, words) => {
    expect(cronWords(line)).toBe(words);
  });

  test("runs next on the clock of its zone", () => {
    expect(nextRuns("0 3 * * *", "UTC", from, 2)?.map((run) => run.toISOString())).toEqual(["2026-11-21T03:00:00.000Z", "2026-11-22T03:00:00.000Z"]);
    expect(nextRuns("0 3 * * *", "Asia/Tokyo", from, 1)?.map((run) => run.toISOString())).toEqual(["2026-11-20T18:00:00.000Z"]);
  });

  test("with a day of the month and a day of the week runs on either", () => {
    expect(nextRuns("0 12 23 * mon", "UTC", from, 2)?.map((run) => run.toISOString())).toEqual(["2026-11-23T12:00:00.000Z", "2026-11-30T12:00:00.000Z"]);
    expect(nextRuns("0 12 22 * mon", "UTC", from, 2)?.map((run) => run.toISOString())).toEqual(["2026-11-22T12:00:00.000Z", "2026-11-23T12:00:00.000Z"]);
  });

  test("that never comes has no runs, and one that cannot be read has none to show", () => {
    expect(nextRuns("0 0 31 2 *", "UTC", from)).toEqual([]);
    expect(nextRuns("0 0 * *", "UTC", from)).toBeNull();
    expect(nextRuns("0 0 * * *", "Nowhere/Land", from)).toBeNull();
  });
});

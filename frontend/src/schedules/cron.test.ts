import { describe, expect, test } from "vitest";
import { cronFault, cronWords, nextRuns } from "./cron";

const from = new Date("2026-11-20T10:30:30Z"); // a Friday

describe("a cron line", () => {
  test.each([
    ["0 3 * * *", "At 03:00"],
    ["*/15 * * * *", "Every 15 minutes"],
    ["30 7 * * 1-5", "At 07:30, Monday through Friday"],
    ["0 9 * * mon", "At 09:00, only on Monday"],
    ["61 * * * *", null],
    ["nonsense", null],
  ])("%s is read as %s", (line, words) => {
    expect(cronWords(line)).toBe(words);
  });

  test("runs next on the clock of its zone", () => {
    expect(nextRuns("0 3 * * *", "UTC", from, 2)?.map((run) => run.toISOString())).toEqual(["2026-11-21T03:00:00.000Z", "2026-11-22T03:00:00.000Z"]);
    expect(nextRuns("0 3 * * *", "Asia/Tokyo", from, 1)?.map((run) => run.toISOString())).toEqual(["2026-11-20T18:00:00.000Z"]);
  });

  test("with a day of the month and a day of the week runs on either, as the server's does", () => {
    expect(nextRuns("0 12 23 * mon", "UTC", from, 2)?.map((run) => run.toISOString())).toEqual(["2026-11-23T12:00:00.000Z", "2026-11-30T12:00:00.000Z"]);
    expect(nextRuns("0 12 22 * mon", "UTC", from, 2)?.map((run) => run.toISOString())).toEqual(["2026-11-22T12:00:00.000Z", "2026-11-23T12:00:00.000Z"]);
  });

  test("that cannot be read says what is wrong and has no runs", () => {
    expect(cronFault("0 0 * *")).toContain("five fields");
    expect(cronFault("61 * * * *")).toContain("61");
    expect(nextRuns("0 0 * *", "UTC", from)).toBeNull();
    expect(nextRuns("0 0 * * *", "Nowhere/Land", from)).toBeNull();
    expect(nextRuns("0 0 31 2 *", "UTC", from)).toEqual([]);
  });
});

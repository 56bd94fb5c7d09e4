import { expect, test } from "vitest";
import type { Settings } from "../api/shapes";
import { changesOf, keyFor, toTyped } from "./typed";

const settings = {
  responses_per_task: 4,
  overlap: 1,
  overlap_percent: 100,
  extra_below: null,
  lease_seconds: 1800,
  skip_limit: 3,
  daily_limit: null,
  gold_percent: 0,
  qualification_tasks: 0,
  qualification_percent: 70,
  order: "served",
  shows_agreement: false,
  label_set: { response_flags: [{ key: "dull", label: "Dull" }], task_flags: [] },
} as Settings;

test("what nobody touched is not sent", () => {
  expect(changesOf(toTyped(settings), settings)).toEqual({});
});

test("minutes become seconds, an emptied rule is switched off, and what is no number goes as it was typed", () => {
  const typed = { ...toTyped(settings), lease_minutes: "7.5", daily_limit: "40", overlap: "many" };
  expect(changesOf(typed, settings)).toEqual({ lease_seconds: 450, daily_limit: 40, overlap: "many" });
  expect(changesOf({ ...toTyped(settings), daily_limit: " " }, { ...settings, daily_limit: 40 })).toEqual({ daily_limit: null });
});

test("a flag's key is made of its words and never taken twice", () => {
  expect(keyFor("Größer als nötig!", [])).toBe("gro_er_als_notig");
  expect(keyFor("Dull", ["dull", "dull_2"])).toBe("dull_3");
  expect(keyFor("日本", [])).toBe("flag");
});

import { expect, test } from "vitest";
import { forgetTalk, keepTalk, keptManner, keptTalks, type KeptTalk } from "./shelf";
import { EMPTY, play } from "./talk";

function about(id: string, at: number): KeptTalk {
  return { id, at, model: "bedtime", talk: play(EMPTY, { type: "say", id: "q", after: null, text: `Tell me of ${id}.` }) };
}

test("conversations come back, the latest first, to their person and project alone", () => {
  keepTalk(1, "bedtime", about("kites", 1));
  keepTalk(1, "bedtime", about("owls", 2));
  keepTalk(1, "bedtime", about("kites", 3));
  expect(keptTalks(1, "bedtime").map((each) => each.id)).toEqual(["kites", "owls"]);
  expect(keptTalks(2, "bedtime")).toEqual([]);
  expect(keptTalks(1, "other")).toEqual([]);
  expect(forgetTalk(1, "bedtime", "kites").map((each) => each.id)).toEqual(["owls"]);
});

test("an empty conversation is not kept, and the oldest make room", () => {
  expect(keepTalk(1, "bedtime", { id: "none", at: 0, model: "", talk: EMPTY })).toEqual([]);
  for (let at = 1; at <= 60; at += 1) keepTalk(1, "bedtime", about(String(at), at));
  expect(keptTalks(1, "bedtime")).toHaveLength(50);
  expect(keptTalks(1, "bedtime").at(-1)?.id).toBe("11");
});

test("what is damaged is left out", () => {
  localStorage.setItem("laurel.chat.1.bedtime", '[3, null, {"id": "x", "at": 4, "talk": {"turns": 7}}]');
  localStorage.setItem("laurel.chat.manner", '{"temperature": 9, "max_tokens": "many"}');
  expect(keptTalks(1, "bedtime")).toEqual([{ id: "x", at: 4, model: "", talk: EMPTY }]);
  expect(keptManner()).toEqual({ temperature: 0.8, max_tokens: 128, contest: false });
});

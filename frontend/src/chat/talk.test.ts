import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { branches, candidates, EMPTY, fromKept, messages, type Move, path, placements, play, questionOf, type Talk, titleOf, turnOf, unrated } from "./talk";

const IDS = ["a", "b", "c", "d", "e", "f", "g", "h"];

function moves(): fc.Arbitrary<Move[]> {
  const id = fc.constantFrom(...IDS);
  const text = fc.constantFrom("a kite", "  ", "", "\0owl", "two\n\nlines");
  const fresh = fc.uniqueArray(id, { minLength: 1, maxLength: 4 });
  return fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.record({ type: fc.constant("say" as const), id, after: fc.option(id), text }) },
      { weight: 5, arbitrary: fc.record({ type: fc.constant("reply" as const), id, to: id, model: fc.constant("bedtime") }) },
      { weight: 5, arbitrary: fc.record({ type: fc.constant("word" as const), id, text }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("end" as const), id, how: fc.constantFrom("done" as const, "cut" as const, "stopped" as const, "failed" as const) }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("choose" as const), id }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("asked" as const), id, what: fc.constant("demonstration" as const) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          type: fc.constant("contest" as const),
          to: id,
          lease: fc.constant("lease"),
          model: fc.constant("bedtime"),
          candidates: fresh.map((ids) => ids.map((each) => ({ id: each, response: `response ${each}`, text: `reply ${each}` }))),
        }),
      },
      { weight: 4, arbitrary: fc.record({ type: fc.constant("rate" as const), to: id, id, rating: fc.integer({ min: 0, max: 8 }) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("settle" as const), to: id, how: fc.constantFrom("ranked" as const, "left" as const) }) },
    ),
    { maxLength: 40 },
  );
}

function law(check: (talk: Talk, played: Move[]) => void): void {
  fc.assert(fc.property(moves(), (played) => { check(played.reduce(play, EMPTY), played); }), { numRuns: 400 });
}

function said(...played: Move[]): Talk {
  return played.reduce(play, EMPTY);
}

describe("whatever is played", () => {
  test("what is looked at is one conversation: each turn answers the one before, and speakers take turns", () => {
    law((talk) => {
      path(talk).forEach((turn, at, all) => {
        expect(turn.parent).toBe(all[at - 1]?.id ?? null);
        expect(turn.role).toBe(at % 2 === 0 ? "user" : "assistant");
      });
    });
  });

  test("nothing that was said is lost, and no move rewrites what is finished", () => {
    fc.assert(
      fc.property(moves(), moves(), (first, then) => {
        const before = first.reduce(play, EMPTY);
        const after = then.reduce(play, before);
        for (const turn of before.turns) {
          if (turn.text !== "" && turn.state !== "writing") expect(turnOf(after, turn.id)).toMatchObject({ text: turn.text, parent: turn.parent, role: turn.role });
          else expect(turnOf(after, turn.id)?.text.startsWith(turn.text)).toBe(true);
        }
      }),
    );
  });

  test("every turn can be looked at again, unless replies before it wait to be ranked", () => {
    law((talk) => {
      for (const { id } of talk.turns) {
        const seen = path(play(talk, { type: "choose", id }));
        if (!seen.some((turn) => turn.contest?.state === "open")) expect(seen.map((turn) => turn.id)).toContain(id);
      }
    });
  });

  test("looking at another branch and back changes nothing", () => {
    law((talk) => {
      for (const { id } of path(talk)) {
        for (const other of branches(talk, id).ids) {
          const back = play(play(talk, { type: "choose", id: other }), { type: "choose", id });
          expect(path(back)).toEqual(path(talk));
        }
      }
    });
  });

  test("branches are counted from one, and each turn is among its own", () => {
    law((talk) => {
      for (const { id } of talk.turns) {
        const { at, ids } = branches(talk, id);
        expect(ids[at - 1]).toBe(id);
      }
    });
  });

  test("what is sent has words in every message, and nobody speaks twice in a row", () => {
    law((talk) => {
      for (const { id, role, text } of talk.turns) {
        const sent = messages(talk, id);
        sent.forEach((message, at) => {
          expect(message.content.trim()).not.toBe("");
          expect(message.role).not.toBe(sent[at - 1]?.role);
        });
        if (role === "user") expect(sent.at(-1)?.content.endsWith(text)).toBe(true);
      }
    });
  });

  test("what is kept comes back as it was, with what was being written stopped", () => {
    law((talk) => {
      const back = fromKept(JSON.parse(JSON.stringify(talk)));
      const stopped = talk.turns.map((turn) => (turn.state === "writing" ? { ...turn, state: "stopped" } : turn));
      expect(back.turns).toEqual(stopped);
      expect(path(back).map((turn) => turn.id)).toEqual(path(talk).map((turn) => turn.id));
    });
  });

  test("a move that changes nothing it should not leaves no turn without its parent", () => {
    law((talk) => {
      talk.turns.forEach((turn, at) => {
        if (turn.parent !== null) expect(talk.turns.slice(0, at).map((each) => each.id)).toContain(turn.parent);
      });
    });
  });

  test("a ranking is dense, better ratings rank higher, and equal ratings are tied", () => {
    law((talk) => {
      for (const { id, contest } of talk.turns) {
        if (contest === undefined || unrated(talk, id).length > 0) continue;
        const placed = placements(contest);
        expect(placed.map((each) => each.response).toSorted()).toEqual(Object.values(contest.responses).toSorted());
        const ranks = [...new Set(placed.map((each) => each.rank))].toSorted((one, other) => one - other);
        expect(ranks).toEqual(ranks.map((_, index) => index + 1));
        for (const one of placed) for (const other of placed) expect(Math.sign(other.rank - one.rank)).toBe(Math.sign(one.rating - other.rating));
      }
    });
  });

  test("a ranked contest goes on from a reply that no other is rated above", () => {
    law((talk) => {
      for (const { id, contest } of talk.turns) {
        if (contest?.state !== "open" || unrated(talk, id).length > 0) continue;
        const over = play(talk, { type: "settle", to: id, how: "ranked" });
        const chosen = over.chosen[id] ?? "";
        expect(contest.ratings[chosen]).toBe(Math.max(...Object.values(contest.ratings)));
      }
    });
  });
});

test("any rubbish on the device is some conversation", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (rubbish) => {
      expect(() => path(fromKept(rubbish))).not.toThrow();
      const broken = { turns: [rubbish, { id: "x", parent: "y", role: "user", text: "" }], chosen: rubbish };
      expect(fromKept(broken).turns.every((turn) => turn.id !== "x")).toBe(true);
    }),
  );
});

test("a question, its reply, an edit and a second reply to the first", () => {
  const talk = said(
    { type: "say", id: "q", after: null, text: "Tell me of a kite." },
    { type: "reply", id: "r", to: "q", model: "bedtime" },
    { type: "word", id: "r", text: "Once " },
    { type: "word", id: "r", text: "upon" },
    { type: "end", id: "r", how: "stopped" },
    { type: "word", id: "r", text: " too late" },
    { type: "reply", id: "r2", to: "q", model: "bedtime" },
    { type: "end", id: "r2", how: "failed", problem: "The model server does not answer." },
    { type: "say", id: "q2", after: null, text: "Tell me of an owl." },
  );
  expect(path(talk).map((turn) => turn.id)).toEqual(["q2"]);
  expect(branches(talk, "q2")).toEqual({ at: 2, ids: ["q", "q2"] });
  const first = play(talk, { type: "choose", id: "r" });
  expect(path(first).map((turn) => turn.text)).toEqual(["Tell me of a kite.", "Once upon"]);
  expect(messages(first, "r2")).toEqual([{ role: "user", content: "Tell me of a kite." }]);
  expect(questionOf(first, "r")?.id).toBe("q");
  expect(titleOf(first)).toBe("Tell me of a kite.");
  const again = play(first, { type: "reply", id: "r2", to: "q", model: "bedtime" });
  expect(turnOf(again, "r2")).toMatchObject({ state: "writing", text: "" });
});

test("four replies wait to be ranked, and the conversation goes on from the best", () => {
  const dealt = ["w", "x", "y", "z"].map((id) => ({ id, response: `response ${id}`, text: `reply ${id}` }));
  let talk = said({ type: "say", id: "q", after: null, text: "Hm?" }, { type: "contest", to: "q", lease: "l", model: "bedtime", candidates: dealt });
  expect(path(talk).map((turn) => turn.id)).toEqual(["q"]);
  expect(candidates(talk, "q").map((turn) => turn.id)).toEqual(["w", "x", "y", "z"]);
  for (const [id, rating] of [["w", 2], ["x", 6], ["y", 6]] as const) talk = play(talk, { type: "rate", to: "q", id, rating });
  expect(play(talk, { type: "settle", to: "q", how: "ranked" })).toEqual(talk);
  talk = play(talk, { type: "rate", to: "q", id: "z", rating: 1 });
  const over = play(talk, { type: "settle", to: "q", how: "ranked" });
  expect(["x", "y"]).toContain(path(over)[1]?.id);
  expect(branches(over, "w").ids).toHaveLength(4);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { alike, asDraft, type Board, displayOrder, emptyBoard, fromDraft, missing, type Move, placements, play, rankOf, type Rating, ratingOf, said, toDraft } from "./board";

const NAMES = ["ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal", "ida"];

function boards(): fc.Arbitrary<{ ids: string[]; moves: Move[] }> {
  return fc.integer({ min: 2, max: 9 }).chain((count) => {
    const ids = NAMES.slice(0, count);
    return fc.record({ ids: fc.constant(ids), moves: fc.array(moves(ids), { maxLength: 60 }) });
  });
}

function moves(ids: string[]): fc.Arbitrary<Move> {
  const id = fc.constantFrom(...ids);
  const rating = fc.integer({ min: 1, max: 7 }).map((value) => value as Rating);
  return fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant("rate" as const), id, rating }) },
    { weight: 8, arbitrary: fc.record({ type: fc.constantFrom("up" as const, "down" as const, "tie" as const), id }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant("drop" as const), id, at: fc.integer({ min: -1, max: 10 }) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant("flag" as const), id, flag: fc.constantFrom("odd", "rude") }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("flagTask" as const), flag: fc.constant("all_bad") }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("pick" as const), id }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constantFrom("undo" as const, "redo" as const) }) },
  );
}

function after(ids: string[], played: Move[]): Board {
  return played.reduce(play, emptyBoard(ids));
}

function law(check: (board: Board, ids: string[]) => void): void {
  fc.assert(fc.property(boards(), ({ ids, moves: played }) => { check(after(ids, played), ids); }), { numRuns: 400 });
}

describe("whatever is played", () => {
  test("a better rank never has a lower rating", () => {
    law((board) => {
      const all = placements(board);
      for (const one of all) for (const other of all) if (one.rank < other.rank) expect(one.rating).toBeGreaterThanOrEqual(other.rating);
    });
  });

  test("tied means equally rated", () => {
    law((board) => {
      const all = placements(board);
      for (const one of all) for (const other of all) if (one.rank === other.rank) expect(one.rating).toBe(other.rating);
    });
  });

  test("ranks are dense and start at one", () => {
    law((board) => {
      const ranks = [...new Set(placements(board).map((placed) => placed.rank))].toSorted((one, other) => one - other);
      expect(ranks).toEqual(ranks.map((_, index) => index + 1));
    });
  });

  test("every response is shown once, and is either placed or missing", () => {
    law((board, ids) => {
      expect(displayOrder(board).toSorted()).toEqual(ids.toSorted());
      expect([...placements(board).map((placed) => placed.response), ...missing(board)].toSorted()).toEqual(ids.toSorted());
    });
  });

  test("undo takes back exactly one move, and redo brings it again", () => {
    fc.assert(
      fc.property(boards(), fc.nat(), ({ ids, moves: played }, seed) => {
        const before = after(ids, played);
        const id = ids[seed % ids.length] ?? "";
        const next = play(before, { type: "rate", id, rating: ((seed % 7) + 1) as Rating });
        if (said(next).tiers === said(before).tiers) return;
        const undone = play(next, { type: "undo" });
        expect(said(undone)).toEqual(said(before));
        expect(said(play(undone, { type: "redo" }))).toEqual(said(next));
      }),
    );
  });

  test("undoing everything leaves the empty board", () => {
    law((board) => {
      let back = board;
      while (back.past.length > 0) back = play(back, { type: "undo" });
      expect(said(back)).toEqual(said(emptyBoard(board.ids)));
    });
  });

  test("a draft brings the same board back", () => {
    law((board, ids) => {
      const restored = fromDraft(ids, JSON.parse(JSON.stringify(toDraft(board))) as Record<string, unknown>);
      expect(placements(restored)).toEqual(placements(board));
      expect(restored.taskFlags).toEqual(board.taskFlags);
    });
  });

  test("moving a response keeps the order of the others", () => {
    fc.assert(
      fc.property(boards(), fc.nat(), fc.constantFrom("up", "down", "tie"), ({ ids, moves: played }, seed, type) => {
        const before = after(ids, played);
        const id = ids[seed % ids.length] ?? "";
        const others = (board: Board): unknown => placements(board).filter((placed) => placed.response !== id).map((placed) => [placed.response, placed.rating]);
        expect(others(play(before, { type, id }))).toEqual(others(before));
      }),
    );
  });
});

describe("one move", () => {
  const board = [
    { type: "rate", id: "ada", rating: 6 },
    { type: "rate", id: "ben", rating: 4 },
    { type: "rate", id: "cleo", rating: 4 },
  ] satisfies Move[];

  test("equally rated responses are tied until someone orders them", () => {
    const tied = after(["ada", "ben", "cleo"], board);
    expect([rankOf(tied, "ben"), rankOf(tied, "cleo")]).toEqual([2, 2]);
    const ordered = play(tied, { type: "up", id: "cleo" });
    expect([rankOf(ordered, "cleo"), rankOf(ordered, "ben")]).toEqual([2, 3]);
    expect([ratingOf(ordered, "cleo"), ratingOf(ordered, "ben")]).toEqual([4, 4]);
  });

  test("crossing a rating takes the neighbour's rating", () => {
    const moved = after(["ada", "ben"], [...board.slice(0, 2), { type: "up", id: "ben" }]);
    expect(placements(moved)).toMatchObject([{ response: "ben", rank: 1, rating: 6 }, { response: "ada", rank: 2, rating: 6 }]);
  });

  test("equals ties with the one above and takes its rating", () => {
    const tied = after(["ada", "ben"], [...board.slice(0, 2), { type: "tie", id: "ben" }]);
    expect(placements(tied)).toMatchObject([{ rank: 1, rating: 6 }, { rank: 1, rating: 6 }]);
  });

  test("dropping between two tied responses joins their tie", () => {
    const dropped = after(["ada", "ben", "cleo"], [...board, { type: "drop", id: "ada", at: 1 }]);
    expect(placements(dropped).map((placed) => [placed.response, placed.rank])).toEqual([["ben", 1], ["ada", 1], ["cleo", 1]]);
  });

  test("a first response cannot be placed without a rating", () => {
    const untouched = emptyBoard(["ada", "ben"]);
    expect(placements(play(untouched, { type: "up", id: "ada" }))).toEqual([]);
    expect(placements(play(untouched, { type: "drop", id: "ada", at: 0 }))).toEqual([]);
  });
});

describe("what was submitted", () => {
  const word = (board: Board): Parameters<typeof asDraft>[0] => ({
    id: 1,
    form: "ranking",
    said_at: "2026-11-20T14:02:00Z",
    is_current: true,
    supersedes: null,
    started_from: null,
    guidelines_version: null,
    seconds_spent: 40,
    placements: placements(board),
    verdicts: [],
    flags: [...board.taskFlags],
    note: board.note,
    text: "",
  });

  test("comes back on the board as it was said", () => {
    law((board, ids) => {
      const placed = ids.filter((id) => !missing(board).includes(id));
      const again = fromDraft(placed, asDraft(word(board)));
      expect(placements(again)).toEqual(placements(board));
      expect(again.taskFlags).toEqual(board.taskFlags);
    });
  });

  test("is changed by what says something else, and by nothing else", () => {
    const ids = ["ada", "ben", "cleo"];
    const board = after(ids, [{ type: "rate", id: "ada", rating: 5 }, { type: "rate", id: "ben", rating: 5 }, { type: "rate", id: "cleo", rating: 2 }]);
    const original = fromDraft(ids, asDraft(word(board)));
    expect(alike(board, original)).toBe(true);
    expect(alike(play(board, { type: "pick", id: "ben" }), original)).toBe(true);
    expect(alike(play(board, { type: "rate", id: "ben", rating: 4 }), original)).toBe(false);
    expect(alike(play(board, { type: "up", id: "ben" }), original)).toBe(false);
    expect(alike(play(board, { type: "flag", id: "ada", flag: "odd" }), original)).toBe(false);
    expect(alike(play(board, { type: "note", text: "hm" }), original)).toBe(false);
    expect(alike(play(play(board, { type: "rate", id: "ben", rating: 4 }), { type: "undo" }), original)).toBe(true);
  });

  test("and has no ratings, being an import, keeps its order", () => {
    const placed = ["ben", "ada"].map((response, index) => ({ response, rank: index + 1, rating: null, flags: [] }));
    const board = fromDraft(["ada", "ben"], asDraft({ ...word(emptyBoard([])), placements: placed }));
    expect(displayOrder(board)).toEqual(["ben", "ada"]);
  });
});

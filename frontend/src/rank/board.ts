/**
 * The board of one ranking task, as a value; mouse, drag and keys all become a Move, and `play` is the only place where
 * a board changes.
 *
 * Placed responses lie in tiers, best first. A tier is a tie: its responses share a rank and a rating, and ratings never
 * rise from a tier to the next one. So ranks are dense, tied means equally rated, and a better rank never has a lower
 * rating, whatever is played.
 */

import type { Word } from "../api/shapes";

export type Rating = 1 | 2 | 3 | 4 | 5 | 6 | 7;
export const RATINGS: readonly Rating[] = [1, 2, 3, 4, 5, 6, 7];

interface Tier {
  readonly rating: Rating;
  readonly ids: readonly string[];
}

/** What is said about the task; this is what undo and redo step through. */
interface Said {
  readonly tiers: readonly Tier[];
  readonly flags: Readonly<Record<string, readonly string[]>>;
  readonly taskFlags: readonly string[];
}

export interface Board extends Said {
  /** Every response, in the order shown: the first is A. */
  readonly ids: readonly string[];
  readonly selected: string | null;
  readonly note: string;
  readonly past: readonly Said[];
  readonly future: readonly Said[];
}

export type Move =
  | { type: "pick"; id: string | null }
  | { type: "rate"; id: string; rating: Rating }
  | { type: "up"; id: string }
  | { type: "down"; id: string }
  | { type: "tie"; id: string }
  | { type: "drop"; id: string; at: number }
  | { type: "flag"; id: string; flag: string }
  | { type: "flagTask"; flag: string }
  | { type: "note"; text: string }
  | { type: "undo" }
  | { type: "redo" };

interface Placement {
  response: string;
  rank: number;
  rating: Rating;
  flags: string[];
}

const ALL_BAD = "all_bad";
export const allBad: Move = { type: "flagTask", flag: ALL_BAD };

/** A board on which nothing is said yet. */
export function emptyBoard(ids: readonly string[]): Board {
  return { ids, tiers: [], flags: {}, taskFlags: [], note: "", selected: null, past: [], future: [] };
}

/** The board after one move. A move that says nothing new gives the same board back. */
export function play(board: Board, move: Move): Board {
  switch (move.type) {
    case "pick":
      return move.id === board.selected || (move.id !== null && !board.ids.includes(move.id))
        ? board
        : { ...board, selected: move.id };
    case "note":
      return { ...board, note: move.text };
    case "undo":
      return undo(board);
    case "redo":
      return redo(board);
    case "flagTask":
      return say(board, { taskFlags: toggled(board.taskFlags, move.flag) });
    default:
      return board.ids.includes(move.id) ? { ...onResponse(board, move), selected: move.id } : board;
  }
}

type ResponseMove = Extract<Move, { type: "rate" | "up" | "down" | "tie" | "drop" | "flag" }>;

function onResponse(board: Board, move: ResponseMove): Board {
  switch (move.type) {
    case "rate":
      return rate(board, move.id, move.rating);
    case "up":
      return step(board, move.id, -1);
    case "down":
      return step(board, move.id, 1);
    case "tie":
      return tie(board, move.id);
    case "drop":
      return drop(board, move.id, move.at);
    case "flag":
      return say(board, { flags: { ...board.flags, [move.id]: toggled(board.flags[move.id] ?? [], move.flag) } });
  }
}

/** Equally rated responses are tied until someone orders them: nobody's word is invented. */
function rate(board: Board, id: string, rating: Rating): Board {
  if (ratingOf(board, id) === rating) return board;
  const rest = without(board.tiers, id);
  const equal = rest.findLastIndex((tier) => tier.rating === rating);
  if (equal >= 0) return say(board, { tiers: joined(rest, equal, id) });
  const at = rest.filter((tier) => tier.rating > rating).length;
  return say(board, { tiers: rest.toSpliced(at, 0, { rating, ids: [id] }) });
}

/** One step up or down: out of a tie first, then past the neighbour, whose rating it takes where theirs differ. */
function step(board: Board, id: string, by: -1 | 1): Board {
  const at = tierOf(board, id);
  const own = board.tiers[at];
  if (own === undefined) return by === -1 ? drop(board, id, placedCount(board)) : board;
  const rest = without(board.tiers, id);
  if (own.ids.length > 1) {
    return say(board, { tiers: rest.toSpliced(by === -1 ? at : at + 1, 0, { rating: own.rating, ids: [id] }) });
  }
  const neighbour = board.tiers[at + by];
  if (neighbour === undefined) return board;
  return say(board, { tiers: rest.toSpliced(at + by, 0, { rating: neighbour.rating, ids: [id] }) });
}

/** Tie with the response above, and take its rating. */
function tie(board: Board, id: string): Board {
  const at = tierOf(board, id);
  if (at < 0) return board.tiers.length === 0 ? board : say(board, { tiers: joined(board.tiers, board.tiers.length - 1, id) });
  const above = board.tiers[at - 1];
  if (board.tiers[at]?.ids[0] !== id || above === undefined) return board;
  return say(board, { tiers: joined(without(board.tiers, id), at - 1, id) });
}

/** Lay the response before the `at`-th of the other placed ones; between two that are tied it joins their tie. */
function drop(board: Board, id: string, at: number): Board {
  const rest = without(board.tiers, id);
  const order = rest.flatMap((tier, index) => tier.ids.map(() => index));
  const gap = Math.max(0, Math.min(at, order.length));
  const above = order[gap - 1];
  const below = order[gap];
  if (above === undefined && below === undefined) return board;
  if (above !== below && positionOf(board, id) === gap) return board;
  if (above !== undefined && above === below) {
    const inside = gap - order.indexOf(above);
    const tiers = rest.map((tier, index) => (index === above ? { ...tier, ids: tier.ids.toSpliced(inside, 0, id) } : tier));
    return say(board, { tiers });
  }
  const highest = above === undefined ? 7 : (rest[above]?.rating ?? 7);
  const lowest = below === undefined ? 1 : (rest[below]?.rating ?? 1);
  const own = ratingOf(board, id) ?? (above === undefined ? lowest : highest);
  const rating = Math.min(highest, Math.max(lowest, own)) as Rating;
  return say(board, { tiers: rest.toSpliced(above === undefined ? 0 : above + 1, 0, { rating, ids: [id] }) });
}

function undo(board: Board): Board {
  const before = board.past.at(-1);
  if (before === undefined) return board;
  return { ...board, ...before, past: board.past.slice(0, -1), future: [said(board), ...board.future] };
}

function redo(board: Board): Board {
  const after = board.future[0];
  if (after === undefined) return board;
  return { ...board, ...after, past: [...board.past, said(board)], future: board.future.slice(1) };
}

function say(board: Board, change: Partial<Said>): Board {
  return { ...board, ...change, past: [...board.past, said(board)], future: [] };
}

export function said({ tiers, flags, taskFlags }: Said): Said {
  return { tiers, flags, taskFlags };
}

function without(tiers: readonly Tier[], id: string): Tier[] {
  return tiers.map((tier) => ({ ...tier, ids: tier.ids.filter((each) => each !== id) })).filter((tier) => tier.ids.length > 0);
}

function joined(tiers: readonly Tier[], at: number, id: string): Tier[] {
  return tiers.map((tier, index) => (index === at ? { ...tier, ids: [...tier.ids, id] } : tier));
}

function toggled(flags: readonly string[], flag: string): string[] {
  return flags.includes(flag) ? flags.filter((each) => each !== flag) : [...flags, flag];
}

function tierOf(board: Said, id: string): number {
  return board.tiers.findIndex((tier) => tier.ids.includes(id));
}

function positionOf(board: Board, id: string): number {
  return board.tiers.flatMap((tier) => tier.ids).indexOf(id);
}

function placedCount(board: Said): number {
  return board.tiers.reduce((sum, tier) => sum + tier.ids.length, 0);
}

export function ratingOf(board: Said, id: string): Rating | null {
  return board.tiers[tierOf(board, id)]?.rating ?? null;
}

/** Dense rank, 1 is the best; null while the response has no place. */
export function rankOf(board: Said, id: string): number | null {
  const at = tierOf(board, id);
  return at < 0 ? null : at + 1;
}

export function isTied(board: Said, id: string): boolean {
  return (board.tiers[tierOf(board, id)]?.ids.length ?? 0) > 1;
}

/** The order on the screen: placed ones best first, then the others as they were shown. */
export function displayOrder(board: Board): string[] {
  const placed = board.tiers.flatMap((tier) => tier.ids);
  return [...placed, ...board.ids.filter((id) => !placed.includes(id))];
}

/** The responses that still want a place. */
export function missing(board: Board): string[] {
  return board.ids.filter((id) => tierOf(board, id) < 0);
}

/** The letter of a response: A for the first shown. */
export function letterOf(board: Board, id: string): string {
  return String.fromCharCode(65 + board.ids.indexOf(id));
}

/** The ranking as it is sent. */
export function placements(board: Board): Placement[] {
  return board.tiers.flatMap((tier, index) =>
    tier.ids.map((response) => ({
      response,
      rank: index + 1,
      rating: tier.rating,
      flags: [...(board.flags[response] ?? [])],
    })),
  );
}

/** The draft of a board, as it is kept on the server. */
export function toDraft(board: Board): Record<string, unknown> {
  return { tiers: board.tiers, flags: board.flags, task_flags: board.taskFlags, note: board.note };
}

/** A ranking as it was said, in the form of a draft. Imported rankings may lack ratings: their order stays. */
export function asDraft({ placements, flags, note, seconds_spent }: Word): Record<string, unknown> {
  const ranks = [...new Set(placements.map((placed) => placed.rank))].toSorted((one, other) => one - other);
  const tiers = ranks.map((rank) => {
    const tied = placements.filter((placed) => placed.rank === rank);
    return { rating: tied[0]?.rating ?? Math.max(1, 8 - rank), ids: tied.map((placed) => placed.response) };
  });
  const raised = Object.fromEntries(placements.map((placed) => [placed.response, placed.flags]));
  return { tiers, flags: raised, task_flags: flags, note, seconds: seconds_spent ?? 0 };
}

/** Whether two boards say the same; the order among tied responses says nothing. */
export function alike(one: Board, other: Board): boolean {
  const words = (board: Board): string =>
    JSON.stringify([
      board.tiers.map((tier) => [tier.rating, [...tier.ids].sort()]),
      board.ids.map((id) => [...(board.flags[id] ?? [])].sort()),
      [...board.taskFlags].sort(),
      board.note.trim(),
    ]);
  return words(one) === words(other);
}

/** A board as a draft left it; what no longer fits the task is left out. */
export function fromDraft(ids: readonly string[], draft: Record<string, unknown> | null): Board {
  const board = emptyBoard(ids);
  if (draft === null) return board;
  const seen = new Set<string>();
  const tiers = listOf(draft["tiers"])
    .map((tier) => ({ rating: Number(fieldOf(tier, "rating")), ids: listOf(fieldOf(tier, "ids")).map(String) }))
    .map((tier) => ({ ...tier, ids: tier.ids.filter((id) => ids.includes(id) && !seen.has(id) && seen.add(id)) }))
    .filter((tier): tier is { rating: Rating; ids: string[] } => isRating(tier.rating) && tier.ids.length > 0)
    .toSorted((one, other) => other.rating - one.rating);
  const flags = Object.fromEntries(
    Object.entries((draft["flags"] ?? {}) as Record<string, unknown>)
      .filter(([id]) => ids.includes(id))
      .map(([id, raised]) => [id, listOf(raised).map(String)]),
  );
  const note = typeof draft["note"] === "string" ? draft["note"] : "";
  return { ...board, tiers, flags, taskFlags: listOf(draft["task_flags"]).map(String), note };
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

export function isRating(value: number): value is Rating {
  return (RATINGS as readonly number[]).includes(value);
}

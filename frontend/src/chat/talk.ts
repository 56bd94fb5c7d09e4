import type { Message } from "../api/shapes";

/** A conversation that may have been tried in several ways: a tree of turns, and which branch is looked at. */
export interface Talk {
  /** In the order in which they were begun; a turn stands after the one that it answers. */
  turns: readonly Turn[];
  /** The branch that is looked at, by the turn before it ("" for the beginning). */
  chosen: Readonly<Record<string, string>>;
}

type Ending = "done" | "cut" | "stopped" | "failed";

export interface Turn {
  id: string;
  /** The turn that it answers; null for the first. */
  parent: string | null;
  role: "user" | "assistant";
  text: string;
  /** `cut`: the longest length allowed was reached. */
  state: "writing" | Ending;
  /** Who was asked, by name; only of replies. */
  model?: string;
  /** Why it failed. */
  problem?: string;
  /** What people were asked about the conversation up to here. */
  asked?: "demonstration" | "ranking";
  /** The replies to this turn, to be ranked before the conversation goes on. */
  contest?: Contest;
}

interface Contest {
  lease: string;
  /** The response that each reply is, on the server. */
  responses: Readonly<Record<string, string>>;
  ratings: Readonly<Record<string, number>>;
  state: "open" | "ranked" | "left";
}

interface Candidate {
  id: string;
  response: string;
  text: string;
}

export type Move =
  | { type: "say"; id: string; after: string | null; text: string }
  | { type: "reply"; id: string; to: string; model: string }
  | { type: "word"; id: string; text: string }
  | { type: "end"; id: string; how: Ending; problem?: string }
  | { type: "choose"; id: string }
  | { type: "asked"; id: string; what: "demonstration" | "ranking" }
  | { type: "contest"; to: string; lease: string; model: string; candidates: readonly Candidate[] }
  | { type: "rate"; to: string; id: string; rating: number }
  | { type: "settle"; to: string; how: "ranked" | "left" };

export const EMPTY: Talk = { turns: [], chosen: {} };
export const SCALE = [1, 2, 3, 4, 5, 6, 7] as const;

/** The conversation after a move; a move that makes no sense changes nothing. */
export function play(talk: Talk, move: Move): Talk {
  switch (move.type) {
    case "say":
      return say(talk, move.id, move.after, move.text);
    case "reply":
      return reply(talk, move.id, move.to, move.model);
    case "word":
      return change(talk, move.id, (turn) => (turn.state === "writing" ? { ...turn, text: turn.text + readable(move.text) } : turn));
    case "end":
      return change(talk, move.id, (turn) => (turn.state === "writing" ? ended(turn, move.how, move.problem) : turn));
    case "choose":
      return choose(talk, move.id);
    case "asked":
      return change(talk, move.id, (turn) => (turn.role === "user" ? { ...turn, asked: move.what } : turn));
    case "contest":
      return contest(talk, move);
    case "rate":
      return rate(talk, move.to, move.id, move.rating);
    case "settle":
      return settle(talk, move.to, move.how);
  }
}

/** What was said, where the conversation stands: after a reply, or at its beginning; an edit says it again beside itself. */
function say(talk: Talk, id: string, after: string | null, text: string): Talk {
  const before = after === null ? null : turnOf(talk, after);
  if (text.trim() === "" || before === undefined || before?.role === "user" || turnOf(talk, id)) return talk;
  return begin(talk, { id, parent: after, role: "user", text: readable(text), state: "done" });
}

/** A reply begins, or one that said nothing begins again. */
function reply(talk: Talk, id: string, to: string, model: string): Talk {
  if (turnOf(talk, to)?.role !== "user") return talk;
  const fresh: Turn = { id, parent: to, role: "assistant", text: "", state: "writing", model };
  const earlier = turnOf(talk, id);
  if (earlier === undefined) return begin(talk, fresh);
  if (earlier.parent !== to || earlier.text !== "" || earlier.state === "writing") return talk;
  return change(talk, id, () => fresh);
}

function ended(turn: Turn, how: Ending, problem: string | undefined): Turn {
  return { ...turn, state: how, ...(problem !== undefined && { problem }) };
}

function choose(talk: Talk, id: string): Talk {
  const chosen = { ...talk.chosen };
  for (let turn = turnOf(talk, id); turn !== undefined; turn = turn.parent === null ? undefined : turnOf(talk, turn.parent)) {
    chosen[turn.parent ?? ""] = turn.id;
  }
  return { ...talk, chosen };
}

function contest(talk: Talk, { to, lease, model, candidates }: Extract<Move, { type: "contest" }>): Talk {
  const ids = candidates.map((each) => each.id);
  const question = turnOf(talk, to);
  if (question?.role !== "user" || question.contest?.state === "open" || ids.length < 2 || new Set(ids).size < ids.length || ids.some((id) => turnOf(talk, id))) return talk;
  const replies = candidates.map(({ id, text }): Turn => ({ id, parent: to, role: "assistant", text: readable(text), state: "done", model }));
  const responses = Object.fromEntries(candidates.map(({ id, response }) => [id, response]));
  const asked = change(talk, to, (turn) => ({ ...turn, asked: "ranking", contest: { lease, responses, ratings: {}, state: "open" } }));
  return replies.reduce(begin, asked);
}

function rate(talk: Talk, to: string, id: string, rating: number): Talk {
  return change(talk, to, (turn) => {
    const open = turn.contest;
    if (open?.state !== "open" || !(id in open.responses) || !(SCALE as readonly number[]).includes(rating)) return turn;
    return { ...turn, contest: { ...open, ratings: { ...open.ratings, [id]: rating } } };
  });
}

/** The contest is over; where it was ranked, the conversation goes on from the best. */
function settle(talk: Talk, to: string, how: "ranked" | "left"): Talk {
  const open = turnOf(talk, to)?.contest;
  if (open?.state !== "open" || (how === "ranked" && unrated(talk, to).length > 0)) return talk;
  const over = change(talk, to, (turn) => ({ ...turn, contest: { ...open, state: how } }));
  const best = repliesTo(talk, to).filter((each) => each.id in open.responses).toSorted((one, other) => (open.ratings[other.id] ?? 0) - (open.ratings[one.id] ?? 0))[0];
  return best === undefined ? over : choose(over, best.id);
}

function begin(talk: Talk, turn: Turn): Talk {
  return { turns: [...talk.turns, turn], chosen: { ...talk.chosen, [turn.parent ?? ""]: turn.id } };
}

function change(talk: Talk, id: string, how: (turn: Turn) => Turn): Talk {
  return { ...talk, turns: talk.turns.map((turn) => (turn.id === id ? how(turn) : turn)) };
}

/** No server keeps the NUL that a model may write. */
function readable(text: string): string {
  return text.replaceAll("\0", "\uFFFD");
}

export function turnOf(talk: Talk, id: string): Turn | undefined {
  return talk.turns.find((turn) => turn.id === id);
}

function repliesTo(talk: Talk, parent: string | null): Turn[] {
  return talk.turns.filter((turn) => turn.parent === parent);
}

/** The turns that are looked at, from the first on; it ends where replies wait to be ranked. */
export function path(talk: Talk): Turn[] {
  const seen: Turn[] = [];
  for (let parent: string | null = null; ; ) {
    const found: Turn | undefined = turnOf(talk, talk.chosen[parent ?? ""] ?? "");
    if (found === undefined) return seen;
    seen.push(found);
    if (found.contest?.state === "open") return seen;
    parent = found.id;
  }
}

/** Which of the turns that answer the same one this is, counted from 1, and all of them. */
export function branches(talk: Talk, id: string): { at: number; ids: string[] } {
  const ids = repliesTo(talk, turnOf(talk, id)?.parent ?? null).map((turn) => turn.id);
  return { at: ids.indexOf(id) + 1, ids };
}

/** The replies that are to be ranked, as they were dealt. */
export function candidates(talk: Talk, to: string): Turn[] {
  const dealt = turnOf(talk, to)?.contest?.responses ?? {};
  return Object.keys(dealt).flatMap((id) => turnOf(talk, id) ?? []);
}

/** The replies that still want a rating. */
export function unrated(talk: Talk, to: string): string[] {
  const open = turnOf(talk, to)?.contest;
  return open === undefined ? [] : Object.keys(open.responses).filter((id) => open.ratings[id] === undefined);
}

/** The ranking that the ratings say: equal ratings are tied. */
export function placements(open: Contest): { response: string; rank: number; rating: number; flags: string[] }[] {
  const steps = [...new Set(Object.values(open.ratings))].toSorted((one, other) => other - one);
  return Object.entries(open.responses).flatMap(([id, response]) => {
    const rating = open.ratings[id];
    return rating === undefined ? [] : [{ response, rank: steps.indexOf(rating) + 1, rating, flags: [] }];
  });
}

/** The conversation up to a turn and with it, as it is sent: what was never said is left out, and nobody speaks twice in a row. */
export function messages(talk: Talk, id: string): Message[] {
  const line: Turn[] = [];
  for (let turn = turnOf(talk, id); turn !== undefined; turn = turn.parent === null ? undefined : turnOf(talk, turn.parent)) {
    if (turn.text.trim() !== "") line.unshift(turn);
  }
  return line.reduce<Message[]>((sent, { role, text }) => {
    const last = sent.at(-1);
    if (last?.role === role) return [...sent.slice(0, -1), { role, content: `${last.content}\n\n${text}` }];
    return [...sent, { role, content: text }];
  }, []);
}

/** The user's turn that a turn is about: itself, or the one that it answers. */
export function questionOf(talk: Talk, id: string): Turn | undefined {
  const turn = turnOf(talk, id);
  return turn?.role === "assistant" && turn.parent !== null ? turnOf(talk, turn.parent) : turn;
}

/** What a conversation is called in a list: how it began. */
export function titleOf(talk: Talk): string {
  const first = path(talk)[0] ?? talk.turns[0];
  return first === undefined ? "New conversation" : (first.text.trim().split("\n")[0] ?? "").slice(0, 80);
}

/** A conversation as it was kept; what makes no sense is left out, and what was being written was stopped. */
export function fromKept(kept: unknown): Talk {
  const seen = new Map<string, Turn>();
  for (const each of listOf(fieldOf(kept, "turns"))) {
    const turn = turnFrom(each);
    const before = turn?.parent == null ? undefined : seen.get(turn.parent);
    if (turn === null || seen.has(turn.id) || before?.role === turn.role) continue;
    if (turn.parent === null ? turn.role === "user" : before !== undefined) seen.set(turn.id, turn);
  }
  const turns = [...seen.values()].map((turn) => withContest(turn, seen));
  const chosen: Record<string, string> = {};
  for (const { id, parent } of turns) chosen[parent ?? ""] = id;
  for (const [parent, id] of Object.entries(recordOf(fieldOf(kept, "chosen")))) {
    if (typeof id === "string" && seen.has(id) && (seen.get(id)?.parent ?? "") === parent) chosen[parent] = id;
  }
  return { turns, chosen };
}

const STATES: readonly string[] = ["done", "cut", "stopped", "failed"];

function turnFrom(kept: unknown): Turn | null {
  const { id, parent, role, text, state, model, problem, asked } = recordOf(kept);
  if (typeof id !== "string" || id === "" || typeof text !== "string" || (role !== "user" && role !== "assistant")) return null;
  if (parent !== null && typeof parent !== "string") return null;
  const stated = typeof state === "string" && STATES.includes(state) ? (state as Ending) : "stopped";
  const told = (name: string, value: unknown): object => (typeof value === "string" ? { [name]: value } : {});
  return {
    id,
    parent,
    role,
    text: readable(text),
    state: role === "user" ? "done" : stated,
    ...told("model", model),
    ...told("problem", problem),
    ...(asked === "demonstration" || asked === "ranking" ? { asked } : {}),
    ...(role === "user" && fieldOf(kept, "contest") !== undefined ? { contest: fieldOf(kept, "contest") as Contest } : {}),
  };
}

function withContest(turn: Turn, seen: ReadonlyMap<string, Turn>): Turn {
  const { contest: kept, ...rest } = turn;
  const lease = fieldOf(kept, "lease");
  const state = fieldOf(kept, "state");
  const responses = Object.entries(recordOf(fieldOf(kept, "responses"))).filter(
    (entry): entry is [string, string] => seen.get(entry[0])?.parent === turn.id && typeof entry[1] === "string",
  );
  if (typeof lease !== "string" || responses.length < 2) return rest;
  const ratings = Object.entries(recordOf(fieldOf(kept, "ratings"))).filter(
    (entry): entry is [string, number] => responses.some(([id]) => id === entry[0]) && (SCALE as readonly unknown[]).includes(entry[1]),
  );
  const over = state === "ranked" || state === "left" ? state : "open";
  return { ...rest, contest: { lease, responses: Object.fromEntries(responses), ratings: Object.fromEntries(ratings), state: over } };
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function fieldOf(value: unknown, name: string): unknown {
  return recordOf(value)[name];
}

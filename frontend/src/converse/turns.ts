import type { PlayedTurn } from "../api/conversations";

export type Turns = readonly PlayedTurn[];

const OTHER: Record<PlayedTurn["role"], PlayedTurn["role"]> = { user: "assistant", assistant: "user" };
export const NAMES: Record<PlayedTurn["role"], string> = { user: "User", assistant: "Ideal assistant" };

/** A conversation in which nobody has spoken. */
export const silence: Turns = [{ role: "user", content: "" }];

export function isSaid(turn: PlayedTurn | undefined): boolean {
  return turn !== undefined && turn.content.trim() !== "";
}

/** The other side's turn, once the last one has said something. */
export function passedOn(turns: Turns): Turns {
  const last = turns.at(-1);
  return last === undefined || !isSaid(last) ? turns : [...turns, { role: OTHER[last.role], content: "" }];
}

export function rewritten(turns: Turns, place: number, content: string): Turns {
  return turns.map((turn, index) => (index === place ? { ...turn, content } : turn));
}

/** The conversation as it is sent: without white space around the turns, and without a last one that says nothing. */
export function finished(turns: Turns): PlayedTurn[] {
  const said = turns.map((turn) => ({ ...turn, content: turn.content.trim() }));
  return isSaid(said.at(-1)) ? said : said.slice(0, -1);
}

/** Which turn it is, in words: "User, turn 2". */
export function nameOf(turns: Turns, place: number): string {
  const role = turns[place]?.role ?? "user";
  return `${NAMES[role]}, turn ${String(Math.floor(place / 2) + 1)}`;
}

/** What is still to be done, or nothing. */
export function whatIsMissing(turns: Turns): string {
  const said = finished(turns);
  const silent = said.findIndex((turn) => !isSaid(turn));
  if (said.length === 0) return "Write what the user says first.";
  if (silent >= 0) return `${nameOf(said, silent)}, is empty.`;
  if (said.length % 2 === 1) return "The assistant has the last word: write its ideal reply.";
  return "";
}

/** A conversation as a draft left it. */
export function fromDraft(body: Record<string, unknown> | null): Turns {
  const kept = Array.isArray(body?.["turns"]) ? (body["turns"] as unknown[]) : [];
  const turns = kept.map((turn, place) => {
    const content = typeof turn === "object" && turn !== null && "content" in turn ? turn.content : "";
    return { role: place % 2 === 0 ? "user" : "assistant", content: typeof content === "string" ? content : "" } as const;
  });
  return turns.length === 0 ? silence : turns;
}

import type { WantedPrompts } from "../api/prompts";

export const EVERYTHING: WantedPrompts = { q: "", split: "", source: "", tag: "", retired: "" };

/** What is to be otherwise with the chosen prompts. */
export interface Change {
  retired?: boolean;
  priority?: number;
  add_tags?: string[];
  remove_tags?: string[];
  demonstrate?: boolean;
}

function prompts(count: number): string {
  return count === 1 ? "1 prompt" : `${count.toLocaleString()} prompts`;
}

/** What was done, as a sentence. */
export function changed(wish: Change, count: number, opened: number): string {
  if (wish.retired === true) return `${prompts(count)} retired: no task of theirs is handed out any more.`;
  if (wish.retired === false) return `${prompts(count)} taken up again.`;
  if (wish.priority !== undefined) return `${prompts(count)} now of priority ${String(wish.priority)}, and their tasks with them.`;
  if (wish.add_tags !== undefined) return `${prompts(count)} tagged ${wish.add_tags.join(", ")}.`;
  if (wish.remove_tags !== undefined) return `The tag ${wish.remove_tags.join(", ")} is taken from ${prompts(count)}.`;
  if (opened === 0) return "Demonstrations of these were asked for already.";
  return `${opened === 1 ? "One demonstration task" : `${opened.toLocaleString()} demonstration tasks`} opened.`;
}

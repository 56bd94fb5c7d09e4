import { ordinal } from "../look/numbers";
import { type Board, isTied, letterOf, missing, type Move, rankOf, ratingOf } from "./board";

/** A, B and C. */
function listing(names: readonly string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
}

/** Where a response stands: "1st", "2nd, tied", "not placed". */
export function placeOf(board: Board, id: string): string {
  const rank = rankOf(board, id);
  if (rank === null) return "not placed";
  return isTied(board, id) ? `${ordinal(rank)}, tied` : ordinal(rank);
}

/** What is still to be done, for the foot of the page and for a refused submit. */
export function whatIsMissing(board: Board): string {
  const names = missing(board).map((id) => letterOf(board, id));
  if (names.length === 0) return "";
  return `${names.length === 1 ? "Response" : "Responses"} ${listing(names)} ${names.length === 1 ? "has" : "have"} no place yet.`;
}

/** The sentence that the live region speaks after a move. */
export function spoken(before: Board, after: Board, move: Move): string {
  switch (move.type) {
    case "pick":
      return "";
    case "note":
      return "";
    case "undo":
      return before === after ? "Nothing to undo." : `Undone. ${standing(after)}`;
    case "redo":
      return before === after ? "Nothing to redo." : `Redone. ${standing(after)}`;
    case "flagTask":
      return after.taskFlags.includes(move.flag) ? "Flag raised on the task." : "Flag removed from the task.";
    case "flag":
      return `Response ${letterOf(after, move.id)}: flag ${after.flags[move.id]?.includes(move.flag) ? "raised" : "removed"}.`;
    default:
      return moved(before, after, move.id);
  }
}

function moved(before: Board, after: Board, id: string): string {
  const name = `Response ${letterOf(after, id)}`;
  const rating = ratingOf(after, id);
  if (rating === null) return `${name} has no neighbour to stand beside yet. Rate it from 1 to 7.`;
  if (before.tiers === after.tiers) return `${name} stays ${placeOf(after, id)}, rated ${String(rating)} of 7.`;
  const tookRating = ratingOf(before, id) !== rating ? `, now rated ${String(rating)} of 7` : `, rated ${String(rating)} of 7`;
  return `${name} is ${placeOf(after, id)}${tookRating}.`;
}

function standing(board: Board): string {
  const order = board.tiers.map((tier) => tier.ids.map((id) => letterOf(board, id)).join(" equals "));
  return order.length === 0 ? "No response is placed." : `The order is ${order.join(", then ")}.`;
}

/** A ranking on one line: "B 6 › D = A 4 › C 2", with its flags and its note. */
export function inShort(board: Board): string {
  const order = board.tiers.map((tier) => `${tier.ids.map((id) => letterOf(board, id)).join(" = ")} ${String(tier.rating)}`).join(" › ");
  const raised = board.taskFlags.length + Object.values(board.flags).flat().length;
  const flags = raised === 0 ? "" : ` · ${String(raised)} ${raised === 1 ? "flag" : "flags"}`;
  return `${order}${flags}${board.note === "" ? "" : ` · “${board.note}”`}`;
}

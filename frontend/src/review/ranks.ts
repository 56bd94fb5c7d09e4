import type { TaskToReview, WordToReview } from "../api/shapes";

export type Ranks = Readonly<Record<string, number>>;

/** The letter of each response, as this page names them. */
export function letters(task: TaskToReview): Map<string, string> {
  return new Map(task.responses.map((response, index) => [response.id, String.fromCharCode(65 + index)]));
}

/** The ranks that a ranking gave. */
export function ranksOf(answer: WordToReview): Ranks {
  return Object.fromEntries(answer.word.placements.map((placed) => [placed.response, placed.rank]));
}

/** Responses by rank, best first; tied ones together. */
export function tiers(ranks: Ranks): string[][] {
  const found = new Map<number, string[]>();
  for (const [response, rank] of Object.entries(ranks)) found.set(rank, [...(found.get(rank) ?? []), response]);
  return [...found.entries()].toSorted(([one], [other]) => one - other).map(([, responses]) => responses.toSorted());
}

/** The same order with dense ranks: 1, 3, 3 becomes 1, 2, 2. */
export function dense(ranks: Ranks): Ranks {
  return Object.fromEntries(tiers(ranks).flatMap((responses, index) => responses.map((response) => [response, index + 1])));
}

/** A ranking on one line: "B › D = A › C". */
export function orderWords(ranks: Ranks, names: ReadonlyMap<string, string>): string {
  return tiers(ranks)
    .map((responses) => responses.map((each) => names.get(each) ?? "?").toSorted().join(" = "))
    .join(" › ");
}

import { percent } from "./numbers";

/** How many words a text has, in any script that the browser can cut into words. */
export function countWords(text: string): number {
  const segments = new Intl.Segmenter(undefined, { granularity: "word" }).segment(text);
  return [...segments].filter((each) => each.isWordLike).length;
}

/** Why there is nothing to rank: nobody writes, or a policy has written this much of what comes next, 0 to 1. */
export function nothingToRank(writtenSoFar: number | null | undefined, otherwise: string): string {
  return writtenSoFar == null ? otherwise : `A policy is writing the next responses; ${percent(writtenSoFar)} of them are there.`;
}

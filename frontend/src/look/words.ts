/** How many words a text has, in any script that the browser can cut into words. */
export function countWords(text: string): number {
  const segments = new Intl.Segmenter(undefined, { granularity: "word" }).segment(text);
  return [...segments].filter((each) => each.isWordLike).length;
}

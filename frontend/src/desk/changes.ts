/** What became of a paragraph between two versions of a text. */
interface Paragraph {
  text: string;
  fate: "kept" | "added" | "removed";
}

function paragraphs(text: string): string[] {
  return text
    .split(/\n\s*\n/)
    .map((each) => each.trim())
    .filter((each) => each !== "");
}

/** The new text by paragraphs, with those that are new in it and those that are gone from it, by the longest common sequence. */
export function changesBetween(before: string, after: string): Paragraph[] {
  const old = paragraphs(before);
  const fresh = paragraphs(after);
  // common[i][j]: how many paragraphs old[i…] and fresh[j…] share in order
  const common = Array.from({ length: old.length + 1 }, () => new Array<number>(fresh.length + 1).fill(0));
  const shared = (i: number, j: number): number => common[i]?.[j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    const row = common[i] ?? [];
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      row[j] = old[i] === fresh[j] ? shared(i + 1, j + 1) + 1 : Math.max(shared(i + 1, j), shared(i, j + 1));
    }
  }
  const told: Paragraph[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < fresh.length) {
    const was = old[i];
    const is = fresh[j];
    if (was !== undefined && was === is) {
      told.push({ text: was, fate: "kept" });
      i += 1;
      j += 1;
    } else if (was !== undefined && (is === undefined || shared(i + 1, j) >= shared(i, j + 1))) {
      told.push({ text: was, fate: "removed" });
      i += 1;
    } else if (is !== undefined) {
      told.push({ text: is, fate: "added" });
      j += 1;
    }
  }
  return told;
}

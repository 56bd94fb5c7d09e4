import fc from "fast-check";
import { expect, test } from "vitest";
import { changesBetween } from "./changes";

const texts = fc.array(fc.constantFrom("Be kind.", "Be true.", "Be short.", "End well."), { maxLength: 8 }).map((all) => all.join("\n\n"));

function told(before: string, after: string, without: "added" | "removed"): string {
  return changesBetween(before, after)
    .filter((each) => each.fate !== without)
    .map((each) => each.text)
    .join("\n\n");
}

test("without what was added it is the old text, and without what was removed the new one", () => {
  fc.assert(
    fc.property(texts, texts, (before, after) => {
      expect(told(before, after, "added")).toBe(before);
      expect(told(before, after, "removed")).toBe(after);
    }),
  );
});

test("what did not change is not told as a change", () => {
  fc.assert(fc.property(texts, (text) => { expect(changesBetween(text, text).every((each) => each.fate === "kept")).toBe(true); }));
  expect(changesBetween("Be kind.\n\nBe short.", "Be kind.\n\nBe true.\n\nBe short.")).toEqual([
    { text: "Be kind.", fate: "kept" },
    { text: "Be true.", fate: "added" },
    { text: "Be short.", fate: "kept" },
  ]);
});

import { expect, test } from "vitest";
import { sentence } from "./sentence";

test("what a machine said becomes a sentence, and a sentence stays one", () => {
  expect(sentence("epochs must be at least 1, not 0")).toBe("Epochs must be at least 1, not 0.");
  expect(sentence("Is this policy trained at all?")).toBe("Is this policy trained at all?");
  expect(sentence("")).toBe("");
});

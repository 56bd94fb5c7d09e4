import fc from "fast-check";
import { expect, test } from "vitest";
import { finished, fromDraft, passedOn, rewritten, silence, type Turns, whatIsMissing } from "./turns";

function spoken(...said: string[]): Turns {
  return said.reduce<Turns>((turns, content, place) => rewritten(place === 0 ? turns : passedOn(turns), place, content), silence);
}

test("the sides take turns, and nobody is passed over who has not spoken", () => {
  expect(spoken("Hello?", "Good evening.", "Tell me a story.").map((turn) => turn.role)).toEqual(["user", "assistant", "user"]);
  expect(passedOn(silence)).toBe(silence);
});

test("a conversation is whole when both sides have spoken and the assistant spoke last", () => {
  expect(whatIsMissing(silence)).toBe("Write what the user says first.");
  expect(whatIsMissing(spoken("Hello?"))).toBe("The assistant has the last word: write its ideal reply.");
  expect(whatIsMissing(spoken("Hello?", "Good evening."))).toBe("");
  expect(whatIsMissing(rewritten(spoken("Hello?", "Good evening."), 0, " "))).toBe("User, turn 1, is empty.");
});

test("a last turn that says nothing is left out, and keeps nobody from submitting", () => {
  const turns = passedOn(spoken("Hello?", " Good evening. "));
  expect(whatIsMissing(turns)).toBe("");
  expect(finished(turns)).toEqual([{ role: "user", content: "Hello?" }, { role: "assistant", content: "Good evening." }]);
});

test("a draft gives back what it was given, and whatever else is kept there is a conversation too", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 }).filter((text) => text.trim() !== ""), { minLength: 1 }), (said) => {
      expect(fromDraft({ turns: spoken(...said) })).toEqual(spoken(...said));
    }),
  );
  fc.assert(fc.property(fc.dictionary(fc.constantFrom("turns", "seconds"), fc.anything()), (body) => { expect(fromDraft(body)[0]?.role).toBe("user"); }));
});

import { describe, expect, it } from "vitest";
import { glanceAt } from "./glance";

const prompt = [{ role: "user", content: "A story?" }];

describe("a glance at a line", () => {
  it("puts the responses of a ranking in its order", () => {
    const responses = [{ id: "r1", text: "one" }, { id: "r2", text: "two" }, { id: "r3", text: "three" }];
    const placements = [{ response: "r1", rank: 2 }, { response: "r2", rank: 1 }, { response: "r3", rank: 2 }];
    const found = glanceAt({ split: "train", prompt, responses, judgements: [{ kind: "ranking", placements }] });
    expect(found.prompt).toEqual(prompt);
    expect(found.texts).toEqual([{ text: "two", rank: 1 }, { text: "one", rank: 2 }, { text: "three", rank: 2 }]);
    expect(found.asides).toEqual(["train"]);
  });

  it("leaves several judgements uncounted but for how many there are", () => {
    const found = glanceAt({ prompt, responses: [{ id: "r1", text: "one" }], judgements: [{ placements: [{ response: "r1", rank: 1 }] }, {}] });
    expect(found.texts).toEqual([{ text: "one", rank: null }]);
    expect(found.asides).toEqual(["2 judgements"]);
  });

  it("says what no person said", () => {
    expect(glanceAt({ prompt, responses: [], judgements: [{ simulated: true }] }).asides).toEqual(["simulated"]);
    expect(glanceAt({ prompt, response: "Once.", simulated: true }).asides).toEqual(["simulated"]);
    expect(glanceAt({ prompt, response: "Once.", simulated: false }).asides).toEqual([]);
  });

  it.each([
    [{ prompt, response: "Once.", split: "valid" }, ["Once."], ["valid"]],
    [{ text: "A book.", split: "train" }, ["A book."], ["train"]],
    [{ prompt_id: "1", prompt, responses: [{ k: 0, text: "a" }, { k: 1, text: "b" }], doubt: 0.125 }, ["a", "b"], ["doubt 0.13"]],
    [{ prompt, split: "test" }, [], ["test"]],
    [null, [], []],
  ])("reads every kind of line, and makes do with none: %j", (line, texts, asides) => {
    const found = glanceAt(line);
    expect(found.texts.map((each) => each.text)).toEqual(texts);
    expect(found.asides).toEqual(asides);
  });
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { EventReader } from "./eventReader";

const line = fc.string({ unit: "grapheme" }).filter((text) => !/[\r\n]/.test(text));
const event = fc.array(line, { minLength: 1, maxLength: 3 }).map((lines) => lines.join("\n"));

/** Cut a text at the given places. */
function pieces(text: string, cuts: number[]): string[] {
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).toSorted((one, other) => one - other), text.length];
  return places.slice(1).map((end, index) => text.slice(places[index], end));
}

test("events come whole and in order, wherever the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 30 }), (events, cuts) => {
      const sent = events.map((data) => data.split("\n").map((part) => `data: ${part}`).join("\n") + "\n\n").join("");
      const reader = new EventReader();
      expect(pieces(sent, cuts).flatMap((piece) => reader.push(piece))).toEqual(events);
    }),
  );
});

test("comments and names are passed over, and an event that never ends is never given", () => {
  const reader = new EventReader();
  expect(reader.push(": still here\n\nevent: word\ndata: {}\nid: 3\n\ndata: half")).toEqual(["{}"]);
});

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DraftKeeper, draftOnDevice, ofLease, type SaveState } from "./drafts";

const SAVED_AT = "2026-11-20T14:02:00Z";
let answers: (() => Promise<Response>)[];
let sent: unknown[];

function ok(): Promise<Response> {
  return Promise.resolve(new Response(JSON.stringify({ saved_at: SAVED_AT }), { status: 200, headers: { "Content-Type": "application/json" } }));
}

function keeper(): { own: DraftKeeper; states: SaveState["type"][] } {
  const states: SaveState["type"][] = [];
  return { own: new DraftKeeper(ofLease("lease-1"), (state) => states.push(state.type)), states };
}

beforeEach(() => {
  vi.useFakeTimers();
  answers = [];
  sent = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    sent.push(await request.clone().json());
    return (answers.shift() ?? ok)();
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a draft", () => {
  test("is on the device at once and on the server within a second", async () => {
    const { own, states } = keeper();
    own.change({ text: "a" });
    expect(draftOnDevice("lease-1")).toEqual({ text: "a" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toEqual([{ text: "a" }]);
    expect(states).toEqual(["saving", "saved"]);
    expect(draftOnDevice("lease-1")).toBeNull();
  });

  test("is saved while someone goes on writing, not only when they pause", async () => {
    const { own } = keeper();
    for (let count = 0; count < 12; count += 1) {
      own.change({ text: "x".repeat(count) });
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(sent.length).toBeGreaterThan(0);
  });

  test("stays on the device while the server cannot be reached, and is sent later", async () => {
    answers = [() => Promise.reject(new TypeError("offline"))];
    const { own, states } = keeper();
    own.change({ text: "kept" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(states.at(-1)).toBe("offline");
    expect(draftOnDevice("lease-1")).toEqual({ text: "kept" });
    await vi.advanceTimersByTimeAsync(6_000);
    expect(states.at(-1)).toBe("saved");
    expect(sent).toEqual([{ text: "kept" }, { text: "kept" }]);
  });

  test("that changed while it was being sent is sent again, newest last", async () => {
    let release: (response: Response) => void = () => undefined;
    answers = [() => new Promise((resolve) => (release = resolve))];
    const { own, states } = keeper();
    own.change({ text: "first" });
    await vi.advanceTimersByTimeAsync(500);
    own.change({ text: "second" });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(sent).toEqual([{ text: "first" }]);
    release(await ok());
    await vi.advanceTimersByTimeAsync(10);
    expect(sent).toEqual([{ text: "first" }, { text: "second" }]);
    expect(states.at(-1)).toBe("saved");
  });

  test("is gone once the work was submitted", async () => {
    const { own } = keeper();
    own.change({ text: "a" });
    own.end();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(sent).toEqual([]);
    expect(draftOnDevice("lease-1")).toBeNull();
  });
});

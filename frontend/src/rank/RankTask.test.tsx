import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Lease, RankingBody } from "../api/leases";
import { inHand } from "../desk/paper";
import { KeysProvider } from "../keys/shortcuts";
import { RankTask } from "./RankTask";

const lease: Lease = {
  id: "lease-1",
  kind: "ranking",
  expires_at: new Date(Date.now() + 1_800_000).toISOString(),
  task: {
    id: 1,
    prompt: [{ role: "user", content: "Tell me a story." }],
    responses: ["First story.", "Second story.", "Third story."].map((text, index) => ({ id: `r${String(index)}`, text })),
  },
  samples: false,
  draft: null,
  draft_saved_at: null,
  guidelines_version: null,
};
const labels = { response_flags: [{ key: "odd", label: "Odd" }], task_flags: [{ key: "all_bad", label: "All are bad" }] };
const submitted = vi.fn<(body: RankingBody) => void>();
const skipped = vi.fn<(reason: string) => void>();

function show(own: Lease = lease): void {
  const nothing = (): void => undefined;
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MemoryRouter>
        <KeysProvider onHelp={nothing}>
          <RankTask paper={inHand(own)} labels={labels} today={null} waiting={0} unsent={0} onSubmit={submitted} onSkip={skipped} onGuidelines={nothing} />
        </KeysProvider>
      </MemoryRouter>
    </QueryClientProvider>,
  );
}

function order(): string[] {
  return screen.getAllByRole("listitem").flatMap((item) => item.getAttribute("aria-label") ?? []);
}

beforeEach(() => {
  submitted.mockReset();
  skipped.mockReset();
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify({ saved_at: new Date().toISOString() }), { headers: { "Content-Type": "application/json" } })));
  vi.stubGlobal("matchMedia", () => ({ matches: true, addEventListener: vi.fn(), removeEventListener: vi.fn() }));
  vi.stubGlobal("ResizeObserver", class { observe = vi.fn(); unobserve = vi.fn(); disconnect = vi.fn(); });
});

describe("ranking by keys", () => {
  test("letters pick, digits rate and the board sorts itself", async () => {
    show();
    await userEvent.keyboard("a2b6c4");
    expect(order()).toEqual(["Response B, 1st, rated 6 of 7", "Response C, 2nd, rated 4 of 7", "Response A, 3rd, rated 2 of 7"]);
  });

  test("keys that come faster than the page is drawn mean what they say", () => {
    show();
    act(() => {
      for (const key of ["a", "2", "b", "6", "c", "6", "Enter"]) document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    });
    expect(order()).toEqual(["Response B, 1st, tied, rated 6 of 7", "Response C, 1st, tied, rated 6 of 7", "Response A, 2nd, rated 2 of 7"]);
    expect(submitted.mock.calls[0]?.[0].placements.map(({ rating }) => rating)).toEqual([6, 6, 2]);
  });

  test("submits the whole ranking with Enter", async () => {
    show();
    await userEvent.keyboard("a2b6c6{Enter}");
    expect(submitted).toHaveBeenCalledOnce();
    expect(submitted.mock.calls[0]?.[0].placements).toEqual([
      { response: "r1", rank: 1, rating: 6, flags: [] },
      { response: "r2", rank: 1, rating: 6, flags: [] },
      { response: "r0", rank: 2, rating: 2, flags: [] },
    ]);
  });

  test("refuses to submit while a response has no place, and names it", async () => {
    show();
    await userEvent.keyboard("a2b6{Enter}");
    expect(submitted).not.toHaveBeenCalled();
    expect(screen.getByRole("alert").textContent).toBe("Response C has no place yet.");
  });

  test("undoes and redoes", async () => {
    show();
    await userEvent.keyboard("a2b6z");
    expect(order()[1]).toBe("Response B, not placed");
    await userEvent.keyboard("{Shift>}Z{/Shift}");
    expect(order()[0]).toBe("Response B, 1st, rated 6 of 7");
    await userEvent.keyboard("{Control>}z{/Control}");
    expect(order()[1]).toBe("Response B, not placed");
    await userEvent.keyboard("{Control>}{Shift>}Z{/Shift}{/Control}");
    expect(order()[0]).toBe("Response B, 1st, rated 6 of 7");
  });

  test("speaks each move", async () => {
    show();
    await userEvent.keyboard("b6");
    expect(screen.getByText(/Response B is 1st, now rated 6 of 7/)).toBeDefined();
  });

  test("letters are letters while a text field has focus", async () => {
    show();
    await userEvent.keyboard("a2x");
    const note = within(screen.getByRole("dialog")).getByLabelText("Note");
    await userEvent.type(note, "b7 is nice");
    await userEvent.keyboard("{Escape}");
    expect(order()).toContain("Response B, not placed");
    expect((note as HTMLTextAreaElement).value).toBe("b7 is nice");
  });

  test("does nothing by single keys once they are switched off, and Ctrl+Enter still submits", async () => {
    localStorage.setItem("laurel.single_keys", "off");
    show({ ...lease, draft: { tiers: [{ rating: 4, ids: ["r0", "r1", "r2"] }], flags: {}, task_flags: [], note: "" } });
    await userEvent.keyboard("a7{Enter}");
    expect(order()[0]).toBe("Response A, 1st, tied, rated 4 of 7");
    expect(submitted).not.toHaveBeenCalled();
    await userEvent.keyboard("{Control>}{Enter}{/Control}");
    expect(submitted).toHaveBeenCalledOnce();
  });

  test("skips with a reason in one key", async () => {
    show();
    await userEvent.keyboard("s");
    screen.getByRole("button", { name: /The prompt is unclear/ }).focus();
    await userEvent.keyboard("2");
    expect(skipped).toHaveBeenCalledWith("I know too little about this");
  });
});

describe("ranking by hand", () => {
  test("a click on the scale rates, and the flags dialog flags", async () => {
    show();
    const scale = screen.getByRole("radiogroup", { name: /response B/ });
    await userEvent.click(within(scale).getByRole("radio", { name: "5" }));
    await userEvent.click(screen.getByRole("button", { name: "Flags of response B" }));
    await userEvent.click(screen.getByLabelText(/Odd/));
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(order()[0]).toBe("Response B, 1st, rated 5 of 7");
    expect(screen.getByRole("list", { name: "Flags" }).textContent).toBe("Odd");
  });

  test("a flag that the project has taken away can be taken back, so that the ranking can be submitted", async () => {
    const tiers = [{ rating: 4, ids: ["r0", "r1", "r2"] }];
    show({ ...lease, draft: { tiers, flags: { r0: ["too_long", "odd"] }, task_flags: ["off_topic"], note: "" } });
    await userEvent.click(screen.getByRole("button", { name: "Flags of response A" }));
    await userEvent.click(screen.getByLabelText(/too long \(no longer used\)/));
    await userEvent.click(screen.getByLabelText(/off topic \(no longer used\)/));
    expect(screen.queryByLabelText(/no longer used/)).toBeNull();
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    await userEvent.keyboard("{Control>}{Enter}{/Control}");
    const said = submitted.mock.calls[0]?.[0];
    expect([said?.flags, said?.placements[0]?.flags]).toEqual([[], ["odd"]]);
  });

  test("a draft comes back as it was left", () => {
    show({ ...lease, draft: { tiers: [{ rating: 6, ids: ["r2"] }], flags: { r2: ["odd"] }, task_flags: [], note: "" }, draft_saved_at: "2026-11-20T14:02:00Z" });
    expect(order()[0]).toBe("Response C, 1st, rated 6 of 7");
  });
});

describe("changing what was submitted", () => {
  const original = { tiers: [{ rating: 6, ids: ["r1"] }, { rating: 2, ids: ["r0", "r2"] }], flags: {}, task_flags: [], note: "", seconds: 0 };
  const left = vi.fn<(changed: boolean) => void>();

  function open(): void {
    left.mockReset();
    const nothing = (): void => undefined;
    render(
      <MemoryRouter>
        <KeysProvider onHelp={nothing}>
          <RankTask
            paper={{ ...inHand(lease), draft: original, original }}
            labels={labels}
            today={null}
            waiting={0}
            unsent={0}
            onSubmit={submitted}
            onLeave={left}
            onGuidelines={nothing}
          />
        </KeysProvider>
      </MemoryRouter>,
    );
  }

  test("begins with what was said, and submits nothing that says the same", async () => {
    open();
    expect(order()).toEqual(["Response B, 1st, rated 6 of 7", "Response A, 2nd, tied, rated 2 of 7", "Response C, 2nd, tied, rated 2 of 7"]);
    await userEvent.keyboard("{Enter}");
    expect(submitted).not.toHaveBeenCalled();
    expect(screen.getByRole("alert").textContent).toBe("Nothing is changed yet");
  });

  test("submits the change with Enter", async () => {
    open();
    await userEvent.keyboard("c7{Enter}");
    expect(submitted.mock.calls[0]?.[0].placements.map((each) => [each.response, each.rank])).toEqual([["r2", 1], ["r1", 2], ["r0", 3]]);
  });

  test("is left by Escape, which says whether anything was changed; there is nothing to skip", async () => {
    open();
    await userEvent.keyboard("s{Escape}");
    expect(left).toHaveBeenLastCalledWith(false);
    await userEvent.keyboard("c7{Escape}");
    expect(left).toHaveBeenLastCalledWith(true);
    expect(screen.queryByRole("button", { name: /Skip/ })).toBeNull();
  });
});

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { beforeEach, expect, test, vi } from "vitest";
import type { Lease } from "../api/leases";
import { DeskPage } from "./DeskPage";
import type { Desk } from "./useDesk";

const lease: Lease = {
  id: "lease-1",
  kind: "ranking",
  expires_at: "2026-11-20T14:02:00Z",
  task: { id: 1, prompt: [], responses: [] },
  samples: false,
  draft: null,
  draft_saved_at: null,
  guidelines_version: null,
};
const nothing = (): void => undefined;
const desk: Desk = {
  phase: "working",
  lease,
  error: null,
  notice: null,
  waiting: 0,
  unsent: 0,
  last: null,
  did: null,
  turn: 0,
  submit: nothing,
  skip: nothing,
  lookAgain: nothing,
  dismiss: nothing,
};
const scrolled = vi.fn();

function page(own: Partial<Desk>) {
  return (
    <QueryClientProvider client={new QueryClient()}>
      <MemoryRouter>
        <DeskPage title="Rank" slug="stories" desk={{ ...desk, ...own }} none="Nothing is open.">
          {() => own.lease !== null && <button type="button">Move up</button>}
        </DeskPage>
      </MemoryRouter>
    </QueryClientProvider>
  );
}

beforeEach(() => {
  scrolled.mockReset();
  vi.stubGlobal("scrollTo", scrolled);
  const guidelines = { version: null, text: "", read: null, read_text: "" };
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify(guidelines), { headers: { "Content-Type": "application/json" } })));
});

test("the next task is told to those who do not see it, each time anew, and begins at its beginning", () => {
  const { rerender } = render(page({}));
  expect(screen.queryByText(/The next task is here/)).toBeNull();
  expect(scrolled).not.toHaveBeenCalled();
  rerender(page({ did: "Submitted.", turn: 1, lease: { ...lease, id: "lease-2" } }));
  const first = screen.getByText(/Submitted. The next task is here/).textContent;
  rerender(page({ did: "Submitted.", turn: 2, lease: { ...lease, id: "lease-3" } }));
  expect(screen.getByText(/Submitted. The next task is here/).textContent).not.toBe(first);
  expect(scrolled).toHaveBeenCalledTimes(2);
  expect(document.activeElement?.id).toBe("main");
});

test("that nothing is open any more is told, too", () => {
  render(page({ did: "Skipped.", turn: 1, lease: null, phase: "empty" }));
  expect(screen.getByText(/Skipped. No task is open/)).toBeDefined();
});

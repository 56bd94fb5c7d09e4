import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import type { Lease } from "../api/leases";
import { waitingParcels } from "./outbox";
import { useDesk } from "./useDesk";

const ADA = 1;
let online = true;
let taken = 0;
const skips: { url: string; body: unknown }[] = [];

function lease(id: string): Lease {
  const task = { id: 1, prompt: [], responses: [] };
  const none = { samples: false, draft: null, draft_saved_at: null, guidelines_version: null };
  return { id, kind: "ranking", expires_at: new Date(Date.now() + 1_800_000).toISOString(), task, ...none };
}

/** A server that hands out one lease after another, while it can be reached. */
async function server(request: Request): Promise<Response> {
  if (!online) throw new TypeError("offline");
  const url = new URL(request.url).pathname;
  const json = (body: unknown): Response => new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });
  if (url.endsWith("/skip")) {
    skips.push({ url, body: await request.json() });
    return new Response(null, { status: 204 });
  }
  if (url.endsWith("/projects/stories/leases")) return request.method === "GET" ? json([]) : json(lease(`lease-${String(++taken)}`));
  return json({});
}

function wrapper({ children }: { children: ReactNode }) {
  return <QueryClientProvider client={new QueryClient()}>{children}</QueryClientProvider>;
}

afterEach(() => vi.unstubAllGlobals());

test("a task that is skipped while offline is kept with its reason, and skipped once the server can be reached", async () => {
  vi.stubGlobal("fetch", server);
  const { result } = renderHook(() => useDesk("stories", "ranking", ADA), { wrapper });
  await waitFor(() => { expect(result.current.lease?.id).toBe("lease-1"); });
  await waitFor(() => { expect(taken).toBe(2); });
  online = false;
  act(() => { result.current.skip("It is upsetting"); });
  expect(result.current.lease?.id).toBe("lease-2");
  await waitFor(() => { expect(result.current.unsent).toBe(1); });
  expect(waitingParcels(ADA)).toEqual([{ lease: "lease-1", kind: "skip", reason: "It is upsetting" }]);
  expect(result.current).toMatchObject({ notice: null, did: "Skipped.", waiting: 1 });
  online = true;
  act(() => { window.dispatchEvent(new Event("online")); });
  await waitFor(() => { expect(result.current.waiting).toBe(0); });
  expect(skips).toEqual([{ url: "/api/v1/leases/lease-1/skip", body: { reason: "It is upsetting" } }]);
});

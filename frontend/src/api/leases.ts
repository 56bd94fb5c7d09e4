import { answer, client, csrfToken } from "./client";
import type { DemonstrationBody, Lease, RankingBody } from "./shapes";

export type { DemonstrationBody, Lease, RankingBody };
export type TaskKind = Lease["kind"];
export type DraftBody = Record<string, unknown>;

/** The leases that I hold, oldest first. */
export function heldLeases(slug: string, kind: TaskKind): Promise<Lease[]> {
  return answer(client.GET("/api/v1/projects/{slug}/leases", { params: { path: { slug }, query: { kind } } }));
}

/** One more task, or null when none is open. */
export async function takeLease(slug: string, kind: TaskKind): Promise<Lease | null> {
  const call = client.POST("/api/v1/projects/{slug}/leases", { params: { path: { slug } }, body: { kind } });
  return (await answer(call)) ?? null;
}

export function renewLease(id: string): Promise<unknown> {
  return answer(client.POST("/api/v1/leases/{lease_id}/renew", { params: { path: { lease_id: id } } }));
}

export function skipLease(id: string, reason: string): Promise<unknown> {
  return answer(client.POST("/api/v1/leases/{lease_id}/skip", { params: { path: { lease_id: id } }, body: { reason } }));
}

export async function saveDraft(id: string, body: DraftBody): Promise<string> {
  const saved = await answer(client.PUT("/api/v1/leases/{lease_id}/draft", { params: { path: { lease_id: id } }, body }));
  return saved.saved_at;
}

export function submitRanking(id: string, body: RankingBody): Promise<unknown> {
  return answer(client.POST("/api/v1/leases/{lease_id}/ranking", { params: { path: { lease_id: id } }, body }));
}

export function submitDemonstration(id: string, body: DemonstrationBody): Promise<unknown> {
  return answer(client.POST("/api/v1/leases/{lease_id}/demonstration", { params: { path: { lease_id: id } }, body }));
}

/** Return a task unseen; sent so that it outlives the page. */
export function giveBack(id: string): void {
  void fetch(`/api/v1/leases/${id}`, {
    method: "DELETE",
    keepalive: true,
    credentials: "same-origin",
    headers: { "X-CSRFToken": csrfToken() },
  }).catch(() => undefined);
}

/** Save a draft while the page closes. */
export function saveDraftOnLeaving(id: string, body: DraftBody): void {
  void fetch(`/api/v1/leases/${id}/draft`, {
    method: "PUT",
    keepalive: true,
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify(body),
  }).catch(() => undefined);
}

import { answer, client, whileLeaving } from "./client";
import type { DemonstrationBody, Lease, NewReport, RankingBody } from "./shapes";

export type { DemonstrationBody, Lease, NewReport, RankingBody };
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

/** What models wrote to the prompt of a demonstration task; that it was shown is stored. */
export function showResponses(id: string): Promise<Lease["task"]["responses"]> {
  return answer(client.POST("/api/v1/leases/{lease_id}/responses", { params: { path: { lease_id: id } } }));
}

/** Say that something is wrong with a task's prompt. The task stays where it is. */
export function reportPrompt(id: string, body: NewReport): Promise<unknown> {
  return answer(client.POST("/api/v1/leases/{lease_id}/report", { params: { path: { lease_id: id } }, body }));
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
  whileLeaving("DELETE", `/api/v1/leases/${id}`);
}

/** Save a draft while the page closes. */
export function saveDraftOnLeaving(id: string, body: DraftBody): void {
  whileLeaving("PUT", `/api/v1/leases/${id}/draft`, body);
}

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { answer, ApiError, client, whileLeaving } from "./client";
import type { DraftBody, TaskKind } from "./leases";
import type { DemonstrationBody, RankingBody, Submission, Word } from "./shapes";

export type { Submission, Word };

/** Which word a change replaces, and the change's own id: sent twice with it, it is recorded once. */
export interface ChangeOf {
  edit: string;
  replaces: number;
}

function at(lease: string): { path: { lease_id: string } } {
  return { path: { lease_id: lease } };
}

/** What I said with a lease, and the task as I saw it. What was submitted a moment ago may still be on its way. */
export function useSubmission(lease: string) {
  return useQuery({
    queryKey: ["submission", lease],
    queryFn: () => answer(client.GET("/api/v1/submissions/{lease_id}", { params: at(lease) })),
    staleTime: 0,
    gcTime: 0,
    refetchOnWindowFocus: false,
    retry: (count, error) => count < 4 && (!(error instanceof ApiError) || error.status === 404 || error.status === 0 || error.status >= 500),
  });
}

/** Each word that I said with a lease, newest first. */
export function useWords(lease: string, wanted: boolean) {
  return useInfiniteQuery({
    queryKey: ["words", lease],
    queryFn: ({ pageParam }) => {
      const params = { ...at(lease), query: pageParam === "" ? {} : { cursor: pageParam } };
      return answer(client.GET("/api/v1/submissions/{lease_id}/history", { params }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    enabled: wanted,
  });
}

/** The lease of what I submitted last, or null. */
export async function latestSubmission(slug: string, kind: TaskKind): Promise<string | null> {
  const page = await answer(client.GET("/api/v1/projects/{slug}/history", { params: { path: { slug }, query: { kind } } }));
  return page.results[0]?.lease ?? null;
}

export function changeRanking(lease: string, change: ChangeOf, body: RankingBody): Promise<unknown> {
  return answer(client.PUT("/api/v1/submissions/{lease_id}/ranking", { params: at(lease), body: { ...body, ...change } }));
}

export function changeDemonstration(lease: string, change: ChangeOf, body: DemonstrationBody): Promise<unknown> {
  return answer(client.PUT("/api/v1/submissions/{lease_id}/demonstration", { params: at(lease), body: { ...body, ...change } }));
}

export async function saveDraftOfChange(lease: string, replaces: number, body: DraftBody): Promise<string> {
  const call = client.PUT("/api/v1/submissions/{lease_id}/draft", { params: at(lease), body: { replaces, body } });
  return (await answer(call)).saved_at;
}

/** Leave what was submitted as it is. */
export function discardDraftOfChange(lease: string): Promise<unknown> {
  return answer(client.DELETE("/api/v1/submissions/{lease_id}/draft", { params: at(lease) }));
}

/** Save a change while the page closes. */
export function saveDraftOfChangeOnLeaving(lease: string, replaces: number, body: DraftBody): void {
  whileLeaving("PUT", `/api/v1/submissions/${lease}/draft`, { replaces, body });
}

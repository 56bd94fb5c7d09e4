import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";
import type { Checkpoint, CheckpointDetail, CheckpointKind } from "./shapes";

interface CheckpointPage {
  next: string | null;
  results: Checkpoint[];
}

/** Checkpoints of a project, newest first. */
export function useCheckpoints(slug: string, kind?: CheckpointKind) {
  return useInfiniteQuery({
    queryKey: ["checkpoints", slug, kind ?? ""],
    queryFn: ({ pageParam }) => {
      const query = { project: slug, ...(kind && { kind }), ...(pageParam !== "" && { cursor: pageParam }) };
      return answer(client.GET("/api/v1/checkpoints", { params: { query } })) as Promise<CheckpointPage>;
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function useCheckpoint(id: number) {
  return useQuery({
    queryKey: ["checkpoint", id],
    queryFn: () =>
      answer(client.GET("/api/v1/checkpoints/{checkpoint_id}", { params: { path: { checkpoint_id: id } } })) as Promise<CheckpointDetail>,
  });
}

/** Win rates of a policy over those that people ranked together with it. */
export function useContests(slug: string, checkpoint: number, simulated: boolean) {
  return useQuery({
    queryKey: ["contests", slug, checkpoint, simulated],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/contests", { params: { path: { slug }, query: { checkpoint, simulated } } })),
  });
}

export function usePromote() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: number) => answer(client.POST("/api/v1/checkpoints/{checkpoint_id}/promote", { params: { path: { checkpoint_id: id } } })),
    onSettled: () =>
      Promise.all([queries.invalidateQueries({ queryKey: ["checkpoint"] }), queries.invalidateQueries({ queryKey: ["checkpoints"] })]),
  });
}

/** Where a file of a checkpoint can be fetched. */
export function checkpointFile(id: number, name: string): string {
  return `/api/v1/checkpoints/${String(id)}/files/${name.split("/").map(encodeURIComponent).join("/")}`;
}

import { useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

const LOOK_AGAIN_MS = 5_000;

/** What I did today and this week, and what is open; while a policy is writing and nothing is to be ranked, how far it is. */
export function useMyProgress(slug: string) {
  return useQuery({
    queryKey: ["progress", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/progress", { params: { path: { slug } } })),
    enabled: slug !== "",
    refetchInterval: ({ state: { data } }) => (data && data.being_written !== null && data.open.ranking === 0 ? LOOK_AGAIN_MS : false),
  });
}

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

/** How well a project labels, of its newest judgements. */
export function useQuality(slug: string, simulated: boolean) {
  return useQuery({
    queryKey: ["quality", slug, simulated],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/quality", { params: { path: { slug }, query: { simulated } } })),
    staleTime: 60_000,
    placeholderData: keepPreviousData,
  });
}

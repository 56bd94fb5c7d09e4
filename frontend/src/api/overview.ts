import { useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

/** A project at a glance: what people gave, and how the rounds fared. */
export function useOverview(slug: string) {
  return useQuery({
    queryKey: ["overview", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/overview", { params: { path: { slug } } })),
    refetchInterval: 10_000,
  });
}

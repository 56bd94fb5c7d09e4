import { useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

/** What annotators are told; version null when nobody has written it yet. */
export function useGuidelines(slug: string) {
  return useQuery({
    queryKey: ["guidelines", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/guidelines", { params: { path: { slug } } })),
    staleTime: 60_000,
  });
}

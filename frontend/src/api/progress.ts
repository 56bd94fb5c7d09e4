import { useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

/** What I did today and this week, and what is open. */
export function useMyProgress(slug: string) {
  return useQuery({
    queryKey: ["progress", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/progress", { params: { path: { slug } } })),
    enabled: slug !== "",
  });
}

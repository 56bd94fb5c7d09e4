import { useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

/** The named numbers that a schedule can wait for, and what they are now. */
export function useMeasures(slug: string) {
  return useQuery({
    queryKey: ["measures", slug],
    queryFn: () => answer(client.GET("/api/v1/measures", { params: { query: { project: slug } } })),
  });
}

import { useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

/** My first tasks, what is left of my day, and how far I agree with others. */
export function useStanding(slug: string) {
  return useQuery({
    queryKey: ["standing", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/standing", { params: { path: { slug } } })),
    enabled: slug !== "",
  });
}

/** What reviewers returned to me, oldest first. */
export function useReturned(slug: string) {
  return useQuery({
    queryKey: ["returned", slug],
    queryFn: async () => (await answer(client.GET("/api/v1/projects/{slug}/returned", { params: { path: { slug } } }))).results,
  });
}

/** What reviewers said of what I submitted with a lease, newest first. */
export function useReviewsOfMine(lease: string) {
  return useQuery({
    queryKey: ["reviews-of-mine", lease],
    queryFn: async () => (await answer(client.GET("/api/v1/submissions/{lease_id}/reviews", { params: { path: { lease_id: lease } } }))).results,
  });
}

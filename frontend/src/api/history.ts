import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { answer, client } from "./client";

/** What I submitted, newest first; with words that are looked for, only where they are. */
export function useHistory(slug: string, q = "") {
  return useInfiniteQuery({
    queryKey: ["history", slug, q],
    queryFn: ({ pageParam }) => {
      const query = { ...(pageParam !== "" && { cursor: pageParam }), ...(q !== "" && { q }) };
      return answer(client.GET("/api/v1/projects/{slug}/history", { params: { path: { slug }, query } }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

import { keepPreviousData, useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";

/** What annotators said is wrong with prompts, newest first, until someone who reviews has looked; or what was looked at. */
export function useReports(slug: string, settled: boolean) {
  return useInfiniteQuery({
    queryKey: ["reports", slug, settled],
    queryFn: ({ pageParam }) => {
      const query = { settled, ...(pageParam !== "" && { cursor: pageParam }) };
      return answer(client.GET("/api/v1/projects/{slug}/reports", { params: { path: { slug }, query } }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

/** Say that a report was looked at, or take that back. */
export function useSettleReport(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ report, settled }: { report: number; settled: boolean }) => {
      const params = { path: { report_id: report } };
      return answer(settled ? client.POST("/api/v1/reports/{report_id}/settle", { params }) : client.DELETE("/api/v1/reports/{report_id}/settle", { params }));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["reports", slug] }),
  });
}

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";
import type { Guidelines } from "./shapes";

export type { Guidelines };

/** What annotators are told, and which version of it I have read; version null when nobody has written it yet. */
export function useGuidelines(slug: string) {
  return useQuery({
    queryKey: ["guidelines", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/guidelines", { params: { path: { slug } } })),
    staleTime: 60_000,
  });
}

/** Say that I have read a version. */
export function useReadGuidelines(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (version: number) =>
      answer(client.POST("/api/v1/projects/{slug}/guidelines/read", { params: { path: { slug } }, body: { version } })),
    onSuccess: (_nothing, version) => {
      queries.setQueryData<Guidelines>(["guidelines", slug], (before) => before && { ...before, read: version, read_text: before.text });
    },
  });
}

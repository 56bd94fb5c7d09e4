import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";
import type { GuidelinesVersion, Settings, SettingsChange } from "./shapes";

interface GuidelinesPage {
  next: string | null;
  results: GuidelinesVersion[];
}

/** How a project labels, for those who lead it. */
export function useSettings(slug: string) {
  return useQuery({
    queryKey: ["settings", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/labeling", { params: { path: { slug } } })) as Promise<Settings>,
  });
}

export function useChangeSettings(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: SettingsChange) =>
      answer(client.PATCH("/api/v1/projects/{slug}/labeling", { params: { path: { slug } }, body })) as Promise<Settings>,
    onSuccess: (settings) => {
      queries.setQueryData(["settings", slug], settings);
      void queries.invalidateQueries({ queryKey: ["project", slug] });
    },
  });
}

export function useCreateProject() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { name: string; slug: string; description: string }) => answer(client.POST("/api/v1/projects", { body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["session"] }),
  });
}

export function useChangeProject(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { name: string; description: string }) => answer(client.PATCH("/api/v1/projects/{slug}", { params: { path: { slug } }, body })),
    onSuccess: () => Promise.all([queries.invalidateQueries({ queryKey: ["project", slug] }), queries.invalidateQueries({ queryKey: ["session"] })]),
  });
}

/** Each version of the guidelines, newest first. */
export function useGuidelinesVersions(slug: string) {
  return useInfiniteQuery({
    queryKey: ["guidelines", slug, "versions"],
    queryFn: ({ pageParam }) => {
      const params = { path: { slug }, query: pageParam === "" ? {} : { cursor: pageParam } };
      return answer(client.GET("/api/v1/projects/{slug}/guidelines/versions", { params })) as Promise<GuidelinesPage>;
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function usePublishGuidelines(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (text: string) =>
      answer(client.POST("/api/v1/projects/{slug}/guidelines/versions", { params: { path: { slug } }, body: { text } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["guidelines", slug] }),
  });
}

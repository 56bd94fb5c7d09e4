import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, ApiError, client, csrfToken } from "./client";
import type { ImportReport, Prompt, PromptsChange } from "./shapes";

export interface WantedPrompts {
  q: string;
  split: "" | "train" | "valid" | "test";
  source: string;
  tag: string;
  retired: "" | "true" | "false";
}

interface PromptPage {
  next: string | null;
  results: Prompt[];
}

/** Prompts of a project, newest first; those that are looked for. */
export function usePrompts(slug: string, wanted: WantedPrompts) {
  return useInfiniteQuery({
    queryKey: ["prompts", slug, wanted],
    queryFn: ({ pageParam }) => {
      const { q, split, source, tag, retired } = wanted;
      const query = {
        ...(q !== "" && { q }),
        ...(split !== "" && { split }),
        ...(source !== "" && { source }),
        ...(tag !== "" && { tag }),
        ...(retired !== "" && { retired: retired === "true" }),
        ...(pageParam !== "" && { cursor: pageParam }),
      };
      return answer(client.GET("/api/v1/projects/{slug}/prompts", { params: { path: { slug }, query } })) as Promise<PromptPage>;
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

export function useChangePrompts(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: PromptsChange) => answer(client.PATCH("/api/v1/projects/{slug}/prompts", { params: { path: { slug } }, body })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["prompts", slug] }),
  });
}

export interface ImportWish {
  file: File;
  what: "prompts" | "demonstrations" | "judgements";
  on_error: "refuse" | "skip";
  near: "keep" | "leave_out";
  source: string;
  demonstrate: boolean;
}

/** Send a file, and hear how much of it has arrived. The client of the API cannot say that, an old request can. */
function send(slug: string, ticket: string, wish: ImportWish, onSent: (share: number) => void): Promise<ImportReport> {
  const form = new FormData();
  for (const [name, value] of Object.entries({ ...wish, ticket })) form.append(name, value instanceof File ? value : String(value));
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1/projects/${slug}/imports`);
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.responseType = "json";
    request.upload.onprogress = (event) => { if (event.lengthComputable) onSent(event.loaded / event.total); };
    request.onerror = () => { failed(new ApiError(0, "offline", "The server cannot be reached. Nothing was brought in; send the file again.")); };
    request.onload = () => {
      if (request.status === 201) {
        done(request.response as ImportReport);
        return;
      }
      const said = request.response as { code?: string; message?: string; fields?: Record<string, unknown> } | null;
      failed(new ApiError(request.status, said?.code ?? "error", said?.message ?? `The server answered ${request.status}.`, said?.fields ?? {}));
    };
    request.send(form);
  });
}

export function useImport(slug: string, ticket: string, onSent: (share: number) => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (wish: ImportWish) => send(slug, ticket, wish, onSent),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["prompts", slug] }),
  });
}

/** How much of a file that has arrived is dealt with. */
export function useImportProgress(slug: string, ticket: string, on: boolean) {
  return useQuery({
    queryKey: ["import", slug, ticket],
    queryFn: async () => {
      try {
        return await answer(client.GET("/api/v1/projects/{slug}/imports/{ticket}", { params: { path: { slug, ticket } } }));
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return null; // it has not begun
        throw error;
      }
    },
    enabled: on,
    refetchInterval: 500,
    gcTime: 0,
  });
}

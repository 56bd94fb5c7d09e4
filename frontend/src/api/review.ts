import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";
import type { TaskToReview } from "./shapes";

export type Shown = "all" | "shared" | "unreviewed" | "returned" | "set_aside" | "settled" | "known";
type Ranks = Record<string, number>;

/** Tasks of a project, newest first; those that are asked for. */
export function useTasks(slug: string, show: Shown) {
  return useInfiniteQuery({
    queryKey: ["tasks", slug, show],
    queryFn: ({ pageParam }) => {
      const query = { show, ...(pageParam !== "" && { cursor: pageParam }) };
      return answer(client.GET("/api/v1/projects/{slug}/tasks", { params: { path: { slug }, query } }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

/** A task with everything that was said of it. */
export function useTask(id: number) {
  return useQuery({
    queryKey: ["task", id],
    queryFn: () => answer(client.GET("/api/v1/tasks/{task_id}", { params: { path: { task_id: id } } })),
  });
}

interface ReviewOfWord {
  kind: TaskToReview["kind"];
  word: number;
  standing: "accepted" | "returned";
  comment: string;
}

export function useReviewWord(id: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ kind, word, ...body }: ReviewOfWord) =>
      kind === "ranking"
        ? answer(client.POST("/api/v1/judgements/{judgement_id}/reviews", { params: { path: { judgement_id: word } }, body }))
        : answer(client.POST("/api/v1/demonstrations/{demonstration_id}/reviews", { params: { path: { demonstration_id: word } }, body })),
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: ["task", id] }), queries.invalidateQueries({ queryKey: ["tasks"] })]),
  });
}

type Act = { act: "settle"; ranks: Ranks; comment: string } | { act: "put-back" | "retire" | "one-more" };

/** Something that is done with a whole task. */
export function useActOnTask(id: number) {
  const queries = useQueryClient();
  const params = { path: { task_id: id } };
  return useMutation({
    mutationFn: (wish: Act) => {
      switch (wish.act) {
        case "settle":
          return answer(client.POST("/api/v1/tasks/{task_id}/settle", { params, body: { ranks: wish.ranks, comment: wish.comment } }));
        case "put-back":
          return answer(client.POST("/api/v1/tasks/{task_id}/put-back", { params }));
        case "retire":
          return answer(client.POST("/api/v1/tasks/{task_id}/retire", { params }));
        case "one-more":
          return answer(client.POST("/api/v1/tasks/{task_id}/one-more", { params }));
      }
    },
    onSuccess: (task) => {
      queries.setQueryData(["task", id], task);
      void queries.invalidateQueries({ queryKey: ["tasks"] });
    },
  });
}

export function useMakeKnown(id: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { ranks: Ranks; purpose: "gold" | "qualification" }) =>
      answer(client.POST("/api/v1/tasks/{task_id}/known-answer", { params: { path: { task_id: id } }, body })),
    onSuccess: () => Promise.all([queries.invalidateQueries({ queryKey: ["task", id] }), queries.invalidateQueries({ queryKey: ["tasks"] })]),
  });
}

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";
import type { JobDetail, NewSchedule, Schedule, ScheduleChange } from "./shapes";

const key = ["schedules"];

export function useSchedules(slug: string) {
  return useQuery({
    queryKey: [...key, slug],
    queryFn: async () => {
      const page = await answer(client.GET("/api/v1/schedules", { params: { query: { project: slug } } }));
      return page.results as Schedule[];
    },
    refetchInterval: 10_000,
  });
}

export function useSchedule(id: number | null) {
  return useQuery({
    queryKey: [...key, "one", id],
    queryFn: () => answer(client.GET("/api/v1/schedules/{schedule_id}", { params: { path: { schedule_id: id ?? 0 } } })) as Promise<Schedule>,
    enabled: id !== null,
  });
}

export function useCreateSchedule() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: NewSchedule) => answer(client.POST("/api/v1/schedules", { body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: key }),
  });
}

export function useChangeSchedule() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, body }: { id: number; body: ScheduleChange }) =>
      answer(client.PATCH("/api/v1/schedules/{schedule_id}", { params: { path: { schedule_id: id } }, body })),
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
}

export function useDeleteSchedule() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: number) => answer(client.DELETE("/api/v1/schedules/{schedule_id}", { params: { path: { schedule_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
}

export function useRunSchedule() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: number) =>
      answer(client.POST("/api/v1/schedules/{schedule_id}/run", { params: { path: { schedule_id: id } } })) as Promise<JobDetail>,
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: key }), queries.invalidateQueries({ queryKey: ["jobs"] })]),
  });
}

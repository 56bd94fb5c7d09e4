import { type QueryClient, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, ApiError, client } from "./client";
import type { Job, JobDetail, JobKind, JobState, NewJob } from "./shapes";

const LIVE_MS = 1_500;
const IDLE_MS = 10_000;
export const OVER: readonly JobState[] = ["succeeded", "failed", "cancelled"];

export function isLive(job: { state: JobState }): boolean {
  return !OVER.includes(job.state);
}

/** What can be started. */
export function useJobKinds() {
  return useQuery({
    queryKey: ["job-kinds"],
    queryFn: (): Promise<JobKind[]> => answer(client.GET("/api/v1/job-kinds")),
    staleTime: Infinity,
  });
}

interface Filter {
  kind?: string;
  state?: JobState;
}

interface JobPage {
  next: string | null;
  results: Job[];
}

/** Jobs of a project, newest first; looked at again every moment while one of them runs. */
export function useJobs(slug: string, filter: Filter = {}) {
  return useInfiniteQuery({
    queryKey: ["jobs", slug, filter],
    queryFn: ({ pageParam }) => {
      const query = { project: slug, ...filter, ...(pageParam !== "" && { cursor: pageParam }) };
      return answer(client.GET("/api/v1/jobs", { params: { query } })) as Promise<JobPage>;
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    refetchInterval: ({ state }) => (state.data?.pages.some((page) => page.results.some(isLive)) === true ? LIVE_MS : IDLE_MS),
  });
}

/** Asking again would change nothing: there is no such job, or it is not theirs to see. */
function refused(error: Error | null): boolean {
  return error instanceof ApiError && error.status >= 400 && error.status < 500;
}

/** One job, live while it is not over. */
export function useJob(id: number) {
  return useQuery({
    queryKey: ["job", id],
    queryFn: () => answer(client.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: id } } })) as Promise<JobDetail>,
    refetchInterval: ({ state }) => (refused(state.error) || (state.data !== undefined && !isLive(state.data)) ? false : LIVE_MS),
  });
}

function jobsChanged(queries: QueryClient): Promise<unknown> {
  return Promise.all([queries.invalidateQueries({ queryKey: ["jobs"] }), queries.invalidateQueries({ queryKey: ["job"] })]);
}

export function useStartJob() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: NewJob) => answer(client.POST("/api/v1/jobs", { body })) as Promise<JobDetail>,
    onSuccess: () => jobsChanged(queries),
  });
}

export function useCancelJob() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: number) => answer(client.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: id } } })),
    onSettled: () => jobsChanged(queries),
  });
}

export function useResumeJob() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: number) => answer(client.POST("/api/v1/jobs/{job_id}/resume", { params: { path: { job_id: id } } })),
    onSettled: () => jobsChanged(queries),
  });
}

export function useRetryJob() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: number) => answer(client.POST("/api/v1/jobs/{job_id}/retry", { params: { path: { job_id: id } } })),
    onSettled: () => jobsChanged(queries),
  });
}

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { answer, client } from "./client";

const LIVE_MS = 2_000;

export interface SampleRow {
  prompt: string;
  response: string;
  reward?: number | null;
}

export type JobEvent =
  | { at: number; event: "note"; text: string }
  | { at: number; event: "samples"; step: number; rows: SampleRow[] }
  | { at: number; event: "alarm"; step: number; name: string; text: string; action: string }
  | { at: number; event: "pause"; text: string }
  | { at: number; event: "error"; code: string; message: string }
  | { at: number; event: "done" };

interface Said {
  cursor: number;
  events: readonly JobEvent[];
}

async function heard(id: number, before: Said): Promise<Said> {
  const more = await answer(
    client.GET("/api/v1/jobs/{job_id}/events", { params: { path: { job_id: id }, query: { after: before.cursor } } }),
  );
  if (more.cursor === before.cursor) return before;
  return { cursor: more.cursor, events: [...before.events, ...(more.events as unknown as JobEvent[])] };
}

/** What a job's trainer said in words: notes, sample texts, alarms, errors. */
export function useEvents(id: number, live: boolean) {
  const queries = useQueryClient();
  const queryKey = ["events", id];
  const events = useQuery({
    queryKey,
    queryFn: () => heard(id, queries.getQueryData<Said>(queryKey) ?? { cursor: 0, events: [] }),
    refetchInterval: live ? LIVE_MS : false,
  });
  const { refetch } = events;
  useEffect(() => {
    if (!live) void refetch();
  }, [live, refetch]);
  return events;
}

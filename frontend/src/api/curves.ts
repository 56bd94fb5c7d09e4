import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { answer, client } from "./client";

const LIVE_MS = 1_500;

/** One curve: (step, value) by step; null where the value was not finite. */
export type Curve = readonly (readonly [number, number | null])[];

export interface Curves {
  cursor: number;
  series: Readonly<Record<string, Curve>>;
}

async function grown(id: number, before: Curves): Promise<Curves> {
  const more = await answer(
    client.GET("/api/v1/jobs/{job_id}/metrics", { params: { path: { job_id: id }, query: { after: before.cursor } } }),
  );
  if (more.cursor === before.cursor) return before;
  const series: Record<string, Curve> = { ...before.series };
  for (const [name, points] of Object.entries(more.series)) {
    const byStep = new Map(series[name]);
    for (const [step, value] of points) if (step != null) byStep.set(step, value ?? null);
    series[name] = [...byStep].toSorted(([one], [other]) => one - other);
  }
  return grown(id, { cursor: more.cursor, series });
}

/** A job's curves; while it is live only what is new is fetched. */
export function useCurves(id: number, live: boolean) {
  const queries = useQueryClient();
  const queryKey = ["curves", id];
  const curves = useQuery({
    queryKey,
    queryFn: () => grown(id, queries.getQueryData<Curves>(queryKey) ?? { cursor: 0, series: {} }),
    refetchInterval: live ? LIVE_MS : false,
  });
  const { refetch } = curves;
  useEffect(() => {
    if (!live) void refetch();
  }, [live, refetch]);
  return curves;
}

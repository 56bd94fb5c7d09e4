import { useEffect, useState } from "react";
import type { Job } from "../api/shapes";

export interface Pace {
  /** Between 0 and 1; null while nothing is known. */
  share: number | null;
  /** Units a second; null while it cannot be told. */
  perSecond: number | null;
  secondsLeft: number | null;
}

interface Look {
  at: number;
  done: number;
}

const WINDOW_MS = 90_000;
const LEAST_MS = 4_000;

/** Pace over the last minute and a half, as far as this page has seen it; before that, since the job began. */
export function paceOf(job: Pick<Job, "progress" | "started_at">, looks: readonly Look[], now: number): Pace {
  const done = job.progress?.done ?? null;
  const total = job.progress?.total ?? null;
  if (done === null || total === null || total <= 0) return { share: null, perSecond: null, secondsLeft: null };
  const share = Math.min(1, done / total);
  const first = looks.find((look) => now - look.at <= WINDOW_MS);
  const begun = job.started_at === null ? now : new Date(job.started_at).getTime();
  const since = first !== undefined && now - first.at >= LEAST_MS && done > first.done ? first : { at: begun, done: 0 };
  const elapsed = (now - since.at) / 1000;
  const perSecond = elapsed > 0 && done > since.done ? (done - since.done) / elapsed : null;
  return { share, perSecond, secondsLeft: perSecond === null ? null : (total - done) / perSecond };
}

/** The pace of a running job, from what this page has seen of it. */
export function usePace(job: Pick<Job, "progress" | "started_at" | "state">): Pace {
  const [looks, setLooks] = useState<{ seen: readonly Look[]; now: number }>(() => ({ seen: [], now: Date.now() }));
  const done = job.progress?.done ?? null;
  useEffect(() => {
    if (job.state !== "running" || done === null) return;
    const look = { at: Date.now(), done };
    const timer = setTimeout(() => {
      setLooks(({ seen }) => ({ seen: [...seen.filter((each) => look.at - each.at <= WINDOW_MS), look], now: look.at }));
    }, 0);
    return () => { clearTimeout(timer); };
  }, [job.state, done]);
  return paceOf(job, looks.seen, looks.now);
}

import type { Job, JobState } from "../api/shapes";
import type { Tone } from "../look/states";

const STATES: Record<JobState, { name: string; tone: Tone }> = {
  waiting: { name: "waits for another job", tone: "idle" },
  queued: { name: "queued", tone: "idle" },
  running: { name: "running", tone: "good" },
  interrupted: { name: "interrupted, goes on by itself", tone: "warn" },
  paused: { name: "paused, waits for you", tone: "warn" },
  succeeded: { name: "done", tone: "good" },
  failed: { name: "failed", tone: "fail" },
  cancelled: { name: "cancelled", tone: "idle" },
};

export function stateOf(job: { state: JobState; cancel_requested_at?: string | null }): { name: string; tone: Tone } {
  if (job.state === "running" && job.cancel_requested_at != null) return { name: "stopping", tone: "warn" };
  return STATES[job.state];
}

/** What a job is called: its own name, else its kind's title and number. */
export function jobName(job: Pick<Job, "id" | "name" | "kind">, titles: ReadonlyMap<string, string>): string {
  return job.name === "" ? `${titles.get(job.kind) ?? job.kind} #${String(job.id)}` : job.name;
}

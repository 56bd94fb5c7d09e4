import type { Job, Overview } from "../api/shapes";

interface NextStep {
  name: string;
  /** Address under the project. */
  to: string;
  why: string;
}

interface Standing {
  overview: Overview;
  /** Newest first. */
  jobs: readonly Job[];
}

/** The newest job of a kind, whatever became of it. */
export function latest(jobs: readonly Job[], kind: string): Job | undefined {
  return jobs.find((job) => job.kind === kind);
}

function doneAt(jobs: readonly Job[], kind: string): number {
  const job = jobs.find((each) => each.kind === kind && each.state === "succeeded");
  return job?.finished_at == null ? 0 : new Date(job.finished_at).getTime();
}

/** What the loop waits for, and who can give it. */
export function nextStep({ overview, jobs }: Standing): NextStep {
  const live = jobs.find((job) => job.state === "running" || job.state === "queued" || job.state === "waiting");
  if (live) return { name: "See it run", to: `jobs/${String(live.id)}`, why: "a job is at work" };
  const start = (kind: string, name: string, why: string): NextStep => ({ name, to: `jobs/new?kind=${kind}`, why });
  const sampled = doneAt(jobs, "policy.sample");
  const rewarded = doneAt(jobs, "rewardmodel.train");
  const improved = doneAt(jobs, "policy.ppo");
  if (improved > sampled) return start("policy.sample", "Sample responses", "the new policy has not written for the annotators yet");
  if (rewarded > improved) return start("policy.ppo", "Improve with PPO", "the reward model is newer than the policy");
  if (overview.open_tasks.ranking > 0) return { name: "Rank", to: "rank", why: `${overview.open_tasks.ranking.toLocaleString()} ranking tasks are open` };
  if (overview.rankings_since_snapshot > 0) return start("rewardmodel.train", "Train a reward model", "people have ranked what no reward model has seen");
  return start("policy.sample", "Sample responses", "nothing is open to rank");
}

import type { Job, JobState } from "../api/shapes";
import { short } from "../look/numbers";
import { Progress, Quiet } from "../look/states";
import { lasting } from "../look/times";
import styles from "./JobProgress.module.css";
import { type Pace, usePace } from "./pace";

const BEGUN: readonly JobState[] = ["running", "interrupted", "paused"];

/** Whether it has begun and is not over: how far it is can be shown. */
export function hasBegun(job: { state: JobState }): boolean {
  return BEGUN.includes(job.state);
}

/** A bar with what is done, the pace and the time left. */
export function JobProgress({ job, wide = false }: { job: Job; wide?: boolean }) {
  const pace = usePace(job);
  if (!hasBegun(job)) return null;
  return (
    <div className={styles["progress"]}>
      <Progress value={job.state === "running" ? pace.share : (pace.share ?? 0)} label={`Progress of job ${String(job.id)}`} />
      <Quiet>{inWords(job, pace, wide)}</Quiet>
    </div>
  );
}

function inWords(job: Pick<Job, "progress" | "state">, pace: Pace, wide: boolean): string {
  const { progress } = job;
  if (progress === null || pace.share === null) {
    if (job.state !== "running") return "";
    return wide ? "At work; how far it is comes with its first report." : "at work…";
  }
  const done = `${short(progress.done ?? 0)} of ${short(progress.total ?? 0)} ${progress.unit}`;
  const left = pace.secondsLeft !== null && job.state === "running" ? `${lasting(pace.secondsLeft)} left` : "";
  if (!wide) return [`${String(Math.round(pace.share * 100))} %`, left].filter(Boolean).join(" · ");
  return [done, perTime(pace.perSecond, progress.unit), left].filter(Boolean).join(" · ");
}

function perTime(perSecond: number | null, unit: string): string {
  if (perSecond === null) return "";
  return perSecond >= 1 ? `${short(Math.round(perSecond * 10) / 10)} ${unit}/s` : `${short(Math.round(perSecond * 600) / 10)} ${unit}/min`;
}

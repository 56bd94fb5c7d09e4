import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Checkpoint, Dataset, Job, Overview } from "../api/shapes";
import { cx } from "../look/cx";
import { digestStart, figure } from "../look/numbers";
import { Progress, Quiet, Tag } from "../look/states";
import { lasting } from "../look/times";
import { usePace } from "../machine/pace";
import { stateOf } from "../machine/words";
import styles from "./Loop.module.css";
import { latest } from "./stages";

interface Props {
  overview: Overview;
  jobs: readonly Job[];
  rankings: Dataset | undefined;
  reward: Checkpoint | undefined;
}

/** Collect › Snapshot › Reward model › PPO › Sample, and around again. */
export function Stages({ overview, jobs, rankings, reward }: Props) {
  const accuracy = Object.entries(reward?.metrics ?? {}).find(([name]) => /valid.*accuracy$/.test(name))?.[1] ?? null;
  const people = overview.annotators_today;
  const given = overview.rankings + overview.simulated_rankings;
  const snapshot = latest(jobs, "labeling.snapshot");
  return (
    <ol className={styles["stages"]} aria-label="The loop">
      <Stage name="Collect" to="rank" number={given.toLocaleString()} live={people > 0 || overview.live_leases > 0}>
        <Quiet>
          rankings · {people} {people === 1 ? "annotator" : "annotators"} today · {overview.open_tasks.ranking.toLocaleString()} open
          {overview.simulated_rankings > 0 && ` · ${overview.simulated_rankings.toLocaleString()} simulated`}
        </Quiet>
        <Progress value={given === 0 ? 0 : given / (given + overview.open_tasks.ranking)} label="Rankings given of those asked for" />
      </Stage>
      <Stage
        name="Snapshot"
        to={rankings === undefined ? "datasets" : `datasets/${String(rankings.id)}`}
        number={rankings === undefined ? "–" : `v${String(rankings.version)}`}
        live={snapshot?.state === "running"}
      >
        <Quiet>{rankings === undefined ? "no rankings frozen yet" : `${rankings.count.toLocaleString()} ${rankings.count === 1 ? "prompt" : "prompts"} · ${digestStart(rankings.digest)}`}</Quiet>
        <Progress value={rankings === undefined ? 0 : 1} label="Snapshot" />
      </Stage>
      <JobStage name="Reward model" job={latest(jobs, "rewardmodel.train")} number={figure(accuracy)} words={accuracy === null ? "" : "accuracy on valid prompts"} />
      <JobStage name="PPO" job={latest(jobs, "policy.ppo")} number={figure(overview.rounds.at(-1)?.kl)} words={overview.rounds.at(-1)?.kl == null ? "" : "KL from the reference"} />
      <JobStage name="Sample" job={latest(jobs, "policy.sample")} number={overview.open_tasks.ranking.toLocaleString()} words="tasks open to rank" />
    </ol>
  );
}

interface StageProps {
  name: string;
  to: string;
  number: string;
  live: boolean;
  children: ReactNode;
}

function Stage({ name, to, number, live, children }: StageProps) {
  return (
    <li className={cx(styles["stage"], live && styles["live"])}>
      <Link to={to}>{name}</Link>
      <span className={styles["number"]}>{number}</span>
      {children}
    </li>
  );
}

function JobStage({ name, job, number, words }: { name: string; job: Job | undefined; number: string; words: string }) {
  return job === undefined ? (
    <Stage name={name} to="jobs" number="–" live={false}>
      <Quiet>not run yet</Quiet>
      <Progress value={0} label={name} />
    </Stage>
  ) : (
    <RunStage name={name} job={job} number={number} words={words} />
  );
}

function RunStage({ name, job, number, words }: { name: string; job: Job; number: string; words: string }) {
  const pace = usePace(job);
  const running = job.state === "running";
  const left = running && pace.secondsLeft !== null ? `${lasting(pace.secondsLeft)} left` : job.state === "cancelled" ? "the last one was cancelled" : stateOf(job).name;
  const shown = !running ? number : pace.share === null ? "…" : `${String(Math.round(pace.share * 100))} %`;
  return (
    <Stage name={name} to={`jobs/${String(job.id)}`} number={shown} live={running}>
      {job.state === "failed" ? <Tag tone="fail">the last one failed</Tag> : <Quiet>{[running ? "" : words, left].filter(Boolean).join(" · ")}</Quiet>}
      <Progress value={job.state === "succeeded" ? 1 : (pace.share ?? 0)} label={`${name}: ${left}`} />
    </Stage>
  );
}

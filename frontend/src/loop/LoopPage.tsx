import { lazy, Suspense } from "react";
import { useDatasets } from "../api/datasets";
import { useCurves } from "../api/curves";
import { isLive, useJobs } from "../api/jobs";
import { useCheckpoints } from "../api/models";
import { useOverview } from "../api/overview";
import { useProject, useRole, useSlug } from "../api/project";
import { useSchedules } from "../api/schedules";
import type { Job } from "../api/shapes";
import { ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import { useTitles } from "../machine/useTitles";
import { jobName } from "../machine/words";
import styles from "./Loop.module.css";
import { Rounds } from "./Rounds";
import { Stages } from "./Stages";
import { nextStep } from "./stages";

const FirstCurve = lazy(() => import("./FirstCurve"));

/** The project at a glance: where the loop stands, what runs, how the rounds fared. */
export function LoopPage() {
  const slug = useSlug();
  const role = useRole();
  const project = useProject(slug);
  const overview = useOverview(slug);
  const jobs = useJobs(slug);
  const rankings = useDatasets(slug, "rankings");
  const rewards = useCheckpoints(slug, "reward");
  const schedules = useSchedules(slug);
  const title = project.data?.name ?? "Loop";
  const failed = overview.error ?? jobs.error;
  if (failed !== null && overview.data === undefined) {
    return (
      <Page title={title}>
        <ErrorNote error={failed} safe="Everything goes on without this page." onRetry={() => void Promise.all([overview.refetch(), jobs.refetch()])} />
      </Page>
    );
  }
  if (overview.data === undefined || jobs.data === undefined) {
    return (
      <Page title={title}>
        <Skeleton blocks={2} lines={4} />
      </Page>
    );
  }
  const all = jobs.data.pages.flatMap((page) => page.results);
  const newestRankings = rankings.data?.pages[0]?.results[0];
  const step = nextStep({ overview: overview.data, jobs: all });
  const on = schedules.data?.filter((each) => each.enabled).length ?? 0;
  const mayRun = role === "admin" || role === "researcher" || step.to === "rank";
  const round = overview.data.rounds.at(-1)?.round ?? 0;
  return (
    <Page
      title={`Round ${String(round + 1)}`}
      tags={
        <>
          {on > 0 && <Tag>{on === 1 ? "1 schedule on" : `${String(on)} schedules on`}</Tag>}
          <Quiet>{step.why}</Quiet>
        </>
      }
      actions={
        mayRun ? (
          <ButtonLink look="go" to={step.to}>
            {step.name}
          </ButtonLink>
        ) : undefined
      }
    >
      <Stages overview={overview.data} jobs={all} rankings={newestRankings} reward={rewards.data?.pages[0]?.results[0]} />
      <div className={styles["grid"]}>
        <Curve jobs={all} />
        <Rounds rounds={overview.data.rounds} />
      </div>
    </Page>
  );
}

const TRAINERS = ["rewardmodel.train", "policy.ppo", "policy.sft", "policy.pretrain"];

/** The curve that matters most of the job that trains now, or trained last. */
function Curve({ jobs }: { jobs: readonly Job[] }) {
  const titles = useTitles();
  const trained = jobs.filter((job) => TRAINERS.includes(job.kind));
  const job = trained.find((each) => each.state === "running") ?? trained[0];
  if (job === undefined) {
    return (
      <Card title="Training">
        <Empty title="Nothing has trained yet" action={<ButtonLink to="jobs/new">Start a job</ButtonLink>}>
          The curve of the job that trains will be here.
        </Empty>
      </Card>
    );
  }
  return (
    <Card title={jobName(job, titles)} aside={<ButtonLink look="quiet" small to={`jobs/${String(job.id)}`}>All curves</ButtonLink>}>
      <JobCurve job={job} />
    </Card>
  );
}

function JobCurve({ job }: { job: Job }) {
  const curves = useCurves(job.id, isLive(job));
  if (curves.isPending) return <Skeleton lines={0} blocks={1} />;
  if (curves.isError) return <ErrorNote error={curves.error} onRetry={() => void curves.refetch()} />;
  return (
    <Suspense fallback={<Skeleton lines={0} blocks={1} />}>
      <FirstCurve curves={curves.data} />
    </Suspense>
  );
}

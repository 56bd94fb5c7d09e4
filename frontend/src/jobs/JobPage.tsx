import { lazy, Suspense } from "react";
import { Link, useParams } from "react-router";
import { useCurves } from "../api/curves";
import { useEvents } from "../api/events";
import { isLive, useCancelJob, useJob, useResumeJob, useRetryJob } from "../api/jobs";
import { useRole, useSlug } from "../api/project";
import { messageOf } from "../api/client";
import type { JobDetail } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Page } from "../look/Page";
import { sentence } from "../look/sentence";
import { ErrorNote, Note, Quiet, Skeleton } from "../look/states";
import { useToasts } from "../look/toasts";
import { alarmsOf } from "../machine/alarms";
import { hasBegun, JobProgress } from "../machine/JobProgress";
import { paceOf } from "../machine/pace";
import { StateTag } from "../machine/StateTag";
import { useTitles } from "../machine/useTitles";
import { jobName } from "../machine/words";
import { Facts } from "./Facts";
import styles from "./Jobs.module.css";
import { Notes } from "./Notes";
import { SampleTexts } from "./SampleTexts";
import { useTabIcon } from "./useTabIcon";

const CurveBoard = lazy(() => import("../machine/CurveBoard"));

/** One job, live: how far it is, its curves, what it said, what it made. */
export function JobPage() {
  const slug = useSlug();
  const id = Number(useParams()["id"]);
  const job = useJob(id);
  const titles = useTitles();
  const back = { to: `/p/${slug}/jobs`, name: "Jobs" };
  if (job.data === undefined) {
    return (
      <Page title={`Job ${String(id)}`} back={back}>
        {job.isError ? <ErrorNote error={job.error} onRetry={() => void job.refetch()} /> : <Skeleton blocks={2} />}
      </Page>
    );
  }
  return <JobView job={job.data} name={jobName(job.data, titles)} kind={titles.get(job.data.kind) ?? job.data.kind} back={back} stale={job.isError} />;
}

interface ViewProps {
  job: JobDetail;
  name: string;
  kind: string;
  back: { to: string; name: string };
  stale: boolean;
}

function JobView({ job, name, kind, back, stale }: ViewProps) {
  const live = isLive(job);
  const curves = useCurves(job.id, live);
  const events = useEvents(job.id, live);
  const { share } = paceOf(job, [], 0);
  const percent = job.state === "running" && share !== null ? `${String(Math.round(share * 100))} % · ` : "";
  useTabIcon(job.state === "running" ? share : null);
  const said = events.data?.events ?? [];
  const alarms = alarmsOf(said);
  const hasCurves = curves.data !== undefined && Object.keys(curves.data.series).length > 0;
  return (
    <Page title={name} tab={`${percent}${name}`} about={job.name === "" ? undefined : kind} back={back} tags={<StateTag job={job} />} actions={<Actions job={job} name={name} />}>
      {stale && <Note>The server cannot be reached; this is how it stood. The job goes on.</Note>}
      {hasBegun(job) && <JobProgress job={job} wide />}
      {job.state === "paused" && <Pause job={job} />}
      {job.state !== "paused" && job.error !== null && <Failure job={job} />}
      {job.state === "waiting" && <Waiting job={job} />}
      {job.state === "queued" && <Note>It is queued: the next free worker takes it.</Note>}
      {hasCurves && (
        <Suspense fallback={<Skeleton blocks={2} lines={0} />}>
          <CurveBoard curves={curves.data} alarms={alarms} />
        </Suspense>
      )}
      {!hasCurves && job.state === "running" && saves(job) && <Quiet>Curves appear with the first numbers that it reports.</Quiet>}
      <SampleTexts events={said} alarms={alarms} />
      <div className={styles["columns"]}>
        <Facts job={job} />
        <Notes events={said} attempts={job.attempts} />
      </div>
    </Page>
  );
}

/** Whether it works long enough to report numbers and keep savepoints. */
function saves(job: JobDetail): boolean {
  return job.kind !== "labeling.snapshot";
}

function Failure({ job }: { job: JobDetail }) {
  return (
    <Card title="What went wrong">
      <p className={styles["error"]}>{sentence(job.error?.message ?? "")}</p>
      <Quiet>{saves(job) ? "Its savepoints are kept: a retry goes on from the last one." : "A retry begins anew."}</Quiet>
    </Card>
  );
}

function Pause({ job }: { job: JobDetail }) {
  return (
    <Card title="It has paused, and waits for you">
      <p className={styles["error"]}>{sentence(job.error?.message ?? "")}</p>
      <Quiet>Look at the curves and at what it writes. Resumed, it goes on from exactly here; cancelled, it publishes nothing.</Quiet>
    </Card>
  );
}

function Waiting({ job }: { job: JobDetail }) {
  return (
    <Note>
      It waits for{" "}
      {job.waits_for.map((each, index) => (
        <span key={each}>
          {index > 0 && ", "}
          <Link to={`../jobs/${String(each)}`}>job {each}</Link>
        </span>
      ))}
      , whose output it reads.
    </Note>
  );
}

function Actions({ job, name }: { job: JobDetail; name: string }) {
  const slug = useSlug();
  const role = useRole();
  const cancel = useCancelJob();
  const retry = useRetryJob();
  const goOn = useResumeJob();
  const { say } = useToasts();
  const undoCancel = useUndoOfCancel();
  if (role !== "admin" && role !== "researcher") return null;
  const stop = (): void => {
    cancel.mutate(job.id, {
      onSuccess: () => { say(`${name} is being cancelled.`, () => void undoCancel(job.id)); },
      onError: (error) => { say(`It could not be cancelled: ${messageOf(error)}`); },
    });
  };
  const again = (): void => {
    retry.mutate(job.id, { onError: (error) => { say(`It could not be retried: ${messageOf(error)}`); } });
  };
  const resume = (): void => {
    goOn.mutate(job.id, { onError: (error) => { say(`It could not be resumed: ${messageOf(error)}`); } });
  };
  return (
    <>
      {job.state === "paused" && (
        <Button look="go" disabled={goOn.isPending} onClick={resume}>
          Resume
        </Button>
      )}
      {isLive(job) && (
        <Button look="danger" disabled={cancel.isPending || job.cancel_requested_at !== null} onClick={stop}>
          Cancel this job
        </Button>
      )}
      {(job.state === "failed" || job.state === "cancelled") && (
        <Button look="go" disabled={retry.isPending} onClick={again}>
          {job.attempts.length === 0 ? "Start it after all" : saves(job) ? "Retry from the last savepoint" : "Retry"}
        </Button>
      )}
      <ButtonLink to={`/p/${slug}/jobs/new?kind=${job.kind}`}>Start another</ButtonLink>
    </>
  );
}

const STEP_MS = 1_000;
const TRIES = 20;

/** Undo of a cancel: as soon as the job has stopped it is taken up again from its last savepoint. */
function useUndoOfCancel(): (id: number) => Promise<void> {
  const retry = useRetryJob();
  const { say } = useToasts();
  return async (id) => {
    for (let count = 0; count < TRIES; count += 1) {
      try {
        await retry.mutateAsync(id);
        say("The job goes on.");
        return;
      } catch {
        await new Promise((done) => setTimeout(done, STEP_MS));
      }
    }
    say("The job has not stopped yet. Retry it from its page when it has.");
  };
}

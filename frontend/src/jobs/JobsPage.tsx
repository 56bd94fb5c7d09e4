import { useState } from "react";
import { Link } from "react-router";
import { isLive, OVER, useJobKinds, useJobs } from "../api/jobs";
import { useRole, useSlug } from "../api/project";
import type { Job, JobState } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton } from "../look/states";
import { type Column, Table } from "../look/Table";
import { exactly, lasting, when } from "../look/times";
import { useShortcuts } from "../keys/shortcuts";
import { JobProgress } from "../machine/JobProgress";
import { StateTag } from "../machine/StateTag";
import { useTitles } from "../machine/useTitles";
import { jobName } from "../machine/words";
import { useNavigate } from "react-router";
import styles from "./Jobs.module.css";

const STATES: JobState[] = ["running", "queued", "waiting", "interrupted", "paused", ...OVER];

/** Every job of the project, newest first. */
export function JobsPage() {
  const slug = useSlug();
  const role = useRole();
  const navigate = useNavigate();
  const [kind, setKind] = useState("");
  const [state, setState] = useState<JobState | "">("");
  const jobs = useJobs(slug, { ...(kind !== "" && { kind }), ...(state !== "" && { state }) });
  const kinds = useJobKinds();
  const titles = useTitles();
  const mayStart = role === "admin" || role === "researcher";
  useShortcuts("Jobs", mayStart ? [{ keys: "n", does: "Start a job", run: () => void navigate("new") }] : []);
  const rows = jobs.data?.pages.flatMap((page) => page.results) ?? [];
  const running = rows.filter(isLive).length;
  const start = mayStart && (
    <ButtonLink to="new" look="go">
      Start a job
    </ButtonLink>
  );
  const filtered = kind !== "" || state !== "";
  return (
    <Page title="Jobs" {...(running > 0 && { tab: `${String(running)} running · Jobs` })} actions={start || undefined}>
      <div className={styles["filters"]}>
        <div>
          <label htmlFor="job-kind">Kind</label>
          <select id="job-kind" value={kind} onChange={(event) => { setKind(event.target.value); }}>
            <option value="">all</option>
            {kinds.data?.map((each) => (
              <option key={each.kind} value={each.kind}>
                {each.title}
              </option>
            ))}
          </select>
        </div>
        <div>
          <label htmlFor="job-state">State</label>
          <select id="job-state" value={state} onChange={(event) => { setState(event.target.value as JobState | ""); }}>
            <option value="">all</option>
            {STATES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </div>
      </div>
      {jobs.isPending && <Skeleton lines={6} />}
      {jobs.isError && <ErrorNote error={jobs.error} safe="Jobs go on without this page." onRetry={() => void jobs.refetch()} />}
      {jobs.data && rows.length === 0 && (
        <Empty title={filtered ? "No job is like that" : "No jobs yet"} action={filtered ? undefined : start || undefined}>
          {filtered ? "Choose another kind or state." : "Training, sampling and snapshots appear here while they run, and stay as the record of what was done."}
        </Empty>
      )}
      {rows.length > 0 && <Table caption="Jobs" rows={rows} columns={columns(titles)} id={(job) => job.id} />}
      {jobs.hasNextPage && (
        <div>
            <Button disabled={jobs.isFetchingNextPage} onClick={() => void jobs.fetchNextPage()}>
              Older jobs
            </Button>
        </div>
      )}
    </Page>
  );
}

function columns(titles: ReadonlyMap<string, string>): Column<Job>[] {
  return [
    {
      name: "Job",
      show: (job) => (
        <div className={styles["job"]}>
          <Link to={String(job.id)}>{jobName(job, titles)}</Link>
          {job.name !== "" && <Quiet>{titles.get(job.kind) ?? job.kind}</Quiet>}
          {job.error !== null && <span className={styles["error"]}>{job.error.message}</span>}
        </div>
      ),
    },
    { name: "State", show: (job) => <StateTag job={job} /> },
    { name: "Progress", show: (job) => <JobProgress job={job} /> },
    { name: "Took", number: true, minor: true, show: (job) => took(job) },
    {
      name: "Begun",
      number: true,
      minor: true,
      show: (job) => (
        <time dateTime={job.created_at} title={exactly(job.created_at)}>
          {when(job.created_at)}
        </time>
      ),
    },
    { name: "By", minor: true, show: (job) => (job.schedule !== null ? "a schedule" : (job.created_by ?? "–")) },
  ];
}

function took(job: Job): string {
  if (job.started_at === null) return "–";
  const end = job.finished_at === null ? Date.now() : new Date(job.finished_at).getTime();
  return lasting((end - new Date(job.started_at).getTime()) / 1000);
}

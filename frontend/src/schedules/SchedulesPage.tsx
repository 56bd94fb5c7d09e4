import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { messageOf } from "../api/client";
import { useRole, useSlug } from "../api/project";
import { useChangeSchedule, useDeleteSchedule, useRunSchedule, useSchedules } from "../api/schedules";
import type { Schedule } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton } from "../look/states";
import { type Column, Table } from "../look/Table";
import { exactly, when } from "../look/times";
import { useToasts } from "../look/toasts";
import { StateTag } from "../machine/StateTag";
import { useTitles } from "../machine/useTitles";
import styles from "./Schedules.module.css";
import { inWords } from "./words";

/** Jobs that start by themselves. */
export function SchedulesPage() {
  const slug = useSlug();
  const role = useRole();
  const schedules = useSchedules(slug);
  const titles = useTitles();
  const [leaving, setLeaving] = useState<readonly number[]>([]);
  const mayChange = role === "admin" || role === "researcher";
  const rows = schedules.data?.filter((each) => !leaving.includes(each.id)) ?? [];
  const create = mayChange ? (
    <ButtonLink to="new" look="go">
      New schedule
    </ButtonLink>
  ) : undefined;
  const doing: Column<Schedule> = {
    name: "Do",
    number: true,
    show: (each) => <RowActions schedule={each} onLeave={(id, gone) => { setLeaving((ids) => (gone ? [...ids, id] : ids.filter((other) => other !== id))); }} />,
  };
  return (
    <Page title="Schedules" actions={create}>
      {schedules.isPending && <Skeleton lines={4} />}
      {schedules.isError && <ErrorNote error={schedules.error} safe="Schedules fire without this page." onRetry={() => void schedules.refetch()} />}
      {schedules.data && rows.length === 0 && (
        <Empty title="Nothing starts by itself yet" action={create}>
          A schedule starts a job at a time, by cron, after another kind of job, or once a measure has grown.
        </Empty>
      )}
      {rows.length > 0 && (
        <Table
          caption="Schedules"
          rows={rows}
          id={(each) => each.id}
          columns={[
            {
              name: "Schedule",
              show: (each) => (
                <div className={styles["name"]}>
                  <Link to={String(each.id)}>{each.name}</Link>
                  <Quiet>{titles.get(each.kind) ?? each.kind}</Quiet>
                </div>
              ),
            },
            { name: "When", show: (each) => inWords(each.trigger, titles) },
            { name: "Next", minor: true, show: (each) => <Next schedule={each} /> },
            {
              name: "Last",
              minor: true,
              show: (each) =>
                each.last_job === null ? (
                  "–"
                ) : (
                  <span className={styles["last"]}>
                    <Link to={`/p/${slug}/jobs/${String(each.last_job.id)}`}>#{each.last_job.id}</Link> <StateTag job={each.last_job} />
                  </span>
                ),
            },
            { name: "On", show: (each) => <Switch schedule={each} mayChange={mayChange} /> },
            ...(mayChange ? [doing] : []),
          ]}
        />
      )}
    </Page>
  );
}

function Next({ schedule }: { schedule: Schedule }) {
  if (!schedule.enabled) return <Quiet>switched off</Quiet>;
  if (schedule.next_at === null) return <Quiet>{schedule.trigger.type === "at" ? "over" : "when it happens"}</Quiet>;
  return (
    <time dateTime={schedule.next_at} title={exactly(schedule.next_at)}>
      {when(schedule.next_at)}
    </time>
  );
}

function Switch({ schedule, mayChange }: { schedule: Schedule; mayChange: boolean }) {
  const change = useChangeSchedule();
  const { say } = useToasts();
  const turn = (enabled: boolean): void => {
    change.mutate({ id: schedule.id, body: { enabled } }, { onError: (error) => { say(`${schedule.name} was not changed: ${messageOf(error)}`); } });
  };
  const shown = change.isPending ? change.variables.body.enabled : schedule.enabled;
  return (
    <input
      type="checkbox"
      role="switch"
      className={styles["switch"]}
      aria-label={`${schedule.name} is on`}
      checked={shown ?? schedule.enabled}
      disabled={!mayChange}
      onChange={(event) => { turn(event.target.checked); }}
    />
  );
}

function RowActions({ schedule, onLeave }: { schedule: Schedule; onLeave: (id: number, gone: boolean) => void }) {
  const slug = useSlug();
  const navigate = useNavigate();
  const run = useRunSchedule();
  const remove = useDeleteSchedule();
  const { say, later } = useToasts();
  const runNow = (): void => {
    run.mutate(schedule.id, {
      onSuccess: (job) => void navigate(`/p/${slug}/jobs/${String(job.id)}`),
      onError: (error) => { say(`${schedule.name} did not start: ${messageOf(error)}`); },
    });
  };
  const leave = (): void => {
    onLeave(schedule.id, true);
    later(
      `Deleted the schedule ${schedule.name}. Its jobs stay.`,
      () => {
        remove.mutate(schedule.id, {
          onError: (error) => {
            onLeave(schedule.id, false);
            say(`${schedule.name} was not deleted: ${messageOf(error)}`);
          },
        });
      },
      () => { onLeave(schedule.id, false); },
    );
  };
  return (
    <div className={styles["actions"]}>
      <Button small disabled={run.isPending} onClick={runNow} aria-label={`Run now: ${schedule.name}`}>
        Run now
      </Button>
      <Button small look="danger" onClick={leave} aria-label={`Delete: ${schedule.name}`}>
        Delete
      </Button>
    </div>
  );
}

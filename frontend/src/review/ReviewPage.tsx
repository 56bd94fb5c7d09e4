import { useState } from "react";
import { Link } from "react-router";
import { useRole, useSlug } from "../api/project";
import { type Shown, useTasks } from "../api/review";
import type { TaskRow } from "../api/shapes";
import { Button } from "../look/Button";
import { percent } from "../look/numbers";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Progress, Quiet, Skeleton, Tag } from "../look/states";
import { Table } from "../look/Table";
import { Reports } from "./Reports";
import styles from "./Review.module.css";
import { SHOWN, standing } from "./words";

/** Tasks to review, newest first. */
export function ReviewPage() {
  const slug = useSlug();
  const role = useRole();
  const [show, setShow] = useState<Shown>("shared");
  const tasks = useTasks(slug, show);
  const rows = tasks.data?.pages.flatMap((page) => page.results) ?? [];
  const shown = SHOWN.find((each) => each.show === show);
  return (
    <Page title="Review" about="Open a task to see everyone's words side by side.">
      {(role === "reviewer" || role === "admin") && <Reports slug={slug} />}
      <div className={styles["filters"]} role="group" aria-label="Which tasks">
        {SHOWN.map((each) => (
          <Button key={each.show} small look={each.show === show ? "plain" : "quiet"} aria-pressed={each.show === show} onClick={() => { setShow(each.show); }}>
            {each.name}
          </Button>
        ))}
      </div>
      {tasks.isPending && <Skeleton lines={6} />}
      {tasks.isError && <ErrorNote error={tasks.error} onRetry={() => void tasks.refetch()} />}
      {tasks.data && rows.length === 0 && <Empty title="None here">{shown?.none}</Empty>}
      {rows.length > 0 && (
        <Table
          caption="Tasks"
          rows={rows}
          id={(row) => row.id}
          columns={[
            {
              name: "Prompt",
              show: (row) => (
                <div className={styles["prompt"]}>
                  <Link dir="auto" to={String(row.id)}>{row.prompt}</Link>
                  <Quiet>
                    task {row.id} · {row.kind}
                  </Quiet>
                </div>
              ),
            },
            { name: "Judged", number: true, show: (row) => `${String(row.words)} of ${row.purpose === "work" ? String(row.seats) : "many"}` },
            { name: "Agreement", show: (row) => <Agreement task={row} /> },
            { name: "Standing", show: (row) => <Standing task={row} /> },
          ]}
        />
      )}
      {tasks.hasNextPage && (
        <div>
          <Button onClick={() => void tasks.fetchNextPage()}>Older tasks</Button>
        </div>
      )}
    </Page>
  );
}

function Agreement({ task }: { task: TaskRow }) {
  if (task.agreement === null) return <Quiet>–</Quiet>;
  return (
    <div className={styles["agreement"]}>
      <Progress value={task.agreement} label={`Its annotators agree on ${percent(task.agreement)} of the pairs`} />
      <span>{percent(task.agreement)}</span>
    </div>
  );
}

export function Standing({ task }: { task: TaskRow }) {
  const found = standing(task);
  return found === null ? <Quiet>not reviewed</Quiet> : <Tag tone={found.tone}>{found.name}</Tag>;
}

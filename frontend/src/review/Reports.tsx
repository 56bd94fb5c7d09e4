import { Link } from "react-router";
import { messageOf } from "../api/client";
import { useChangePrompts } from "../api/prompts";
import { useReports, useSettleReport } from "../api/reports";
import type { Report } from "../api/shapes";
import { REPORTED } from "../desk/reported";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { ErrorNote, Quiet } from "../look/states";
import { Time } from "../look/Time";
import { useToasts } from "../look/toasts";
import styles from "./Review.module.css";

/** What annotators say is wrong with prompts, until someone has looked; nothing while there is none. */
export function Reports({ slug }: { slug: string }) {
  const reports = useReports(slug, false);
  const rows = reports.data?.pages.flatMap((page) => page.results) ?? [];
  if (reports.isError) return <ErrorNote error={reports.error} onRetry={() => void reports.refetch()} />;
  if (rows.length === 0) return null;
  return (
    <Card title="Reported prompts">
      <ul className={styles["reports"]}>
        {rows.map((row) => (
          <Reported key={row.id} slug={slug} report={row} />
        ))}
      </ul>
      {reports.hasNextPage && (
        <Button look="quiet" small onClick={() => void reports.fetchNextPage()}>
          Older reports
        </Button>
      )}
    </Card>
  );
}

function Reported({ slug, report }: { slug: string; report: Report }) {
  const { title, task, reason, note, reporter } = report;
  const settle = useSettleReport(slug);
  const change = useChangePrompts(slug);
  const { say } = useToasts();
  const pending = settle.isPending || change.isPending;
  const failed = (error: unknown): void => { say(messageOf(error)); };
  const settled = (on: boolean) => ({ report: report.id, settled: on });
  // The row leaves with its report, and what is handed to `mutate` leaves with it; promises stay.
  const reopen = (): void => { settle.mutateAsync(settled(false)).catch(failed); };
  const looked = (): void => {
    settle.mutateAsync(settled(true)).then(() => { say("The report is settled.", reopen); }, failed);
  };
  const retired = (on: boolean) => ({ prompts: [report.prompt], retired: on, priority: null, add_tags: [], remove_tags: [], demonstrate: false });
  const retire = (): void => {
    change.mutate(retired(true), {
      onSuccess: () => {
        settle.mutate(settled(true), { onError: failed });
        say("The prompt is retired: no task of it is handed out any more.", () => { change.mutateAsync(retired(false)).then(reopen, failed); });
      },
      onError: failed,
    });
  };
  return (
    <li>
      {task === null ? <b dir="auto">{title}</b> : <Link dir="auto" to={`/p/${slug}/review/${String(task)}`}>{title}</Link>}
      {(reason !== "other" || note === "") && <p>{REPORTED[reason]}</p>}
      {note !== "" && <p dir="auto">{note}</p>}
      <div className={styles["who"]}>
        <Quiet>
          {reporter} · <Time at={report.created_at} />
        </Quiet>
        <span className={styles["acts"]}>
          <Button small look="quiet" disabled={pending} aria-label={`Retire the prompt: ${title}`} onClick={retire}>
            Retire the prompt
          </Button>
          <Button small disabled={pending} aria-label={`I have looked at it: ${title}`} onClick={looked}>
            I have looked at it
          </Button>
        </span>
      </div>
    </li>
  );
}

import { useState } from "react";
import { useParams } from "react-router";
import { messageOf } from "../api/client";
import { useRole, useSlug } from "../api/project";
import { useActOnTask, useTask } from "../api/review";
import type { TaskToReview } from "../api/shapes";
import { Conversation } from "../desk/Conversation";
import { Button } from "../look/Button";
import { Markdown } from "../look/Markdown";
import { percent } from "../look/numbers";
import { Page } from "../look/Page";
import { ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import { useToasts } from "../look/toasts";
import { Answers } from "./Answers";
import { LastWord } from "./LastWord";
import { letters, type Ranks } from "./ranks";
import styles from "./Review.module.css";
import { Standing } from "./ReviewPage";
import { Skips } from "./Skips";

/** One task: its prompt, its responses, everyone's words side by side, and what a reviewer may do. */
export function TaskPage() {
  const slug = useSlug();
  const id = Number(useParams()["id"]);
  const task = useTask(id);
  const back = { to: `/p/${slug}/review`, name: "Review" };
  if (task.data === undefined) {
    return (
      <Page title="Task" back={back}>
        {task.isError ? <ErrorNote error={task.error} onRetry={() => void task.refetch()} /> : <Skeleton blocks={2} />}
      </Page>
    );
  }
  return <Opened key={id} task={task.data} back={back} />;
}

function Opened({ task, back }: { task: TaskToReview; back: { to: string; name: string } }) {
  const role = useRole();
  const mayReview = role === "reviewer" || role === "admin";
  const names = letters(task);
  const [ranks, setRanks] = useState<Ranks>(() => task.settlement?.ranks ?? task.known_answer?.ranks ?? task.merged?.ranks ?? {});
  const isRanking = task.kind === "ranking";
  return (
    <Page
      title={`Task ${String(task.id)}`}
      back={back}
      tags={
        <>
          <Standing task={task} />
          {task.agreement !== null && <Quiet>agree on {percent(task.agreement)} of the pairs</Quiet>}
          {task.in_hand > 0 && <Tag>{task.in_hand === 1 ? "one annotator has it now" : `${String(task.in_hand)} annotators have it now`}</Tag>}
        </>
      }
      actions={mayReview && <Acts task={task} />}
    >
      <Conversation messages={task.messages} />
      {isRanking && (
        <ol className={styles["responses"]} aria-label="Responses">
          {task.responses.map((response) => (
            <li key={response.id} className={styles["response"]}>
              <b>{names.get(response.id)}</b>
              <Markdown text={response.text} />
            </li>
          ))}
        </ol>
      )}
      <Answers task={task} names={names} mayReview={mayReview} onUse={isRanking && mayReview ? setRanks : undefined} />
      {isRanking && <LastWord task={task} names={names} ranks={ranks} onChange={setRanks} mayReview={mayReview} />}
      <Skips task={task} />
    </Page>
  );
}

function Acts({ task }: { task: TaskToReview }) {
  const act = useActOnTask(task.id);
  const { say } = useToasts();
  const go = (wish: "put-back" | "retire" | "one-more", done: string): void => {
    act.mutate({ act: wish }, { onSuccess: () => { say(done); }, onError: (error) => { say(messageOf(error)); } });
  };
  const open = task.state === "open";
  return (
    <>
      {open && task.purpose === "work" && (
        <Button small disabled={act.isPending} onClick={() => { go("one-more", "One more annotator will be asked."); }}>
          Ask one more
        </Button>
      )}
      {open || task.state === "set_aside" ? (
        <Button small look="quiet" disabled={act.isPending} onClick={() => { go("retire", "The task is handed out no more."); }}>
          Hand out no more
        </Button>
      ) : (
        <Button small look="quiet" disabled={act.isPending} onClick={() => { go("put-back", "The task is in the queue again."); }}>
          Put back into the queue
        </Button>
      )}
      {task.state === "set_aside" && (
        <Button small disabled={act.isPending} onClick={() => { go("put-back", "The task is in the queue again."); }}>
          Put back into the queue
        </Button>
      )}
    </>
  );
}

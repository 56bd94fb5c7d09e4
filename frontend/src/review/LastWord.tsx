import { useState } from "react";
import { Link } from "react-router";
import { messageOf } from "../api/client";
import { useSlug } from "../api/project";
import { useActOnTask, useMakeKnown } from "../api/review";
import type { TaskToReview } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import { ErrorNote, Quiet } from "../look/states";
import { Time } from "../look/Time";
import { useToasts } from "../look/toasts";
import { dense, orderWords, type Ranks } from "./ranks";
import styles from "./Review.module.css";

interface Props {
  task: TaskToReview;
  names: ReadonlyMap<string, string>;
  ranks: Ranks;
  onChange: (ranks: Ranks) => void;
  mayReview: boolean;
}

/** The reviewer's own order: it settles the task, or becomes the known answer of a copy. */
export function LastWord({ task, names, ranks, onChange, mayReview }: Props) {
  const slug = useSlug();
  const act = useActOnTask(task.id);
  const know = useMakeKnown(task.id);
  const { say } = useToasts();
  const [comment, setComment] = useState("");
  const { settlement, known_answer: answer, known_copy: copy } = task;
  const whole = task.responses.every((response) => ranks[response.id] !== undefined);
  const said = dense(ranks);
  const settle = (): void => {
    act.mutate(
      { act: "settle", ranks: said, comment: comment.trim() },
      {
        onSuccess: () => {
          setComment("");
          say("Settled. In datasets this order stands instead of the annotators' words, which are kept.");
        },
      },
    );
  };
  const make = (purpose: "gold" | "qualification"): void => {
    know.mutate(
      { ranks: said, purpose },
      {
        onSuccess: () => { say(purpose === "gold" ? "A copy of the task is gold now: annotators meet it among the work." : "A copy of the task is one of the first tasks of new annotators now."); },
        onError: (error) => { say(messageOf(error)); },
      },
    );
  };
  return (
    <Card title="The last word" className={styles["last"]}>
      {settlement !== null && (
        <p>
          <b>{orderWords(settlement.ranks, names)}</b>{" "}
          <Quiet>
            settled by {settlement.by}, <Time at={settlement.created_at} />
          </Quiet>
          {settlement.comment !== "" && <> · <bdi>{settlement.comment}</bdi></>}
        </p>
      )}
      {answer !== null && (
        <p>
          The known answer is <b>{orderWords(answer.ranks, names)}</b>{" "}
          <Quiet>
            by {answer.by}, <Time at={answer.created_at} />
          </Quiet>
        </p>
      )}
      {copy !== null && (
        <p>
          Its answer is known in <Link to={`/p/${slug}/review/${String(copy)}`}>task {copy}</Link>, a copy that measures annotators.
        </p>
      )}
      {settlement === null && answer === null && copy === null && !mayReview && <Quiet>Nobody has settled this task.</Quiet>}
      {mayReview && task.purpose === "work" && (
        <div className={styles["stack"]}>
          <ul className={styles["ranks"]} aria-label="Rank of each response">
            {task.responses.map((response) => (
              <li key={response.id}>
                <label>
                  <b>{names.get(response.id)}</b>
                  <select
                    aria-label={`Rank of response ${names.get(response.id) ?? ""}`}
                    value={ranks[response.id] ?? ""}
                    onChange={(event) => { onChange({ ...ranks, [response.id]: Number(event.target.value) }); }}
                  >
                    {ranks[response.id] === undefined && <option value="">–</option>}
                    {task.responses.map((_, index) => (
                      <option key={`rank ${String(index + 1)}`} value={index + 1}>
                        {index + 1}
                      </option>
                    ))}
                  </select>
                </label>
              </li>
            ))}
          </ul>
          <p aria-live="polite">{whole ? <b>{orderWords(said, names)}</b> : <Quiet>Give each response a rank; equal ranks are a tie. Or begin with an order above.</Quiet>}</p>
          <Field label="Why (kept with it)">
            {(wiring) => <input {...wiring} dir="auto" maxLength={10_000} value={comment} onChange={(event) => { setComment(event.target.value); }} />}
          </Field>
          {act.isError && <ErrorNote error={act.error} safe="Nothing was settled." />}
          <div className={styles["foot"]}>
            <Button look="go" disabled={!whole || act.isPending} onClick={settle}>
              {settlement === null ? "Settle" : "Settle anew"}
            </Button>
            {copy === null && task.answers.length > 0 && (
              <>
                <Button disabled={!whole || know.isPending} onClick={() => { make("gold"); }}>
                  Make it gold
                </Button>
                <Button disabled={!whole || know.isPending} onClick={() => { make("qualification"); }}>
                  Use it to qualify
                </Button>
              </>
            )}
            <Quiet>Either way nobody else is asked to judge this one.</Quiet>
          </div>
        </div>
      )}
    </Card>
  );
}

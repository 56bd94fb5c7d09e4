import { useState } from "react";
import { messageOf } from "../api/client";
import { useReviewWord } from "../api/review";
import type { TaskToReview, WordToReview } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { Markdown } from "../look/Markdown";
import { percent } from "../look/numbers";
import { Quiet, Tag } from "../look/states";
import { lasting } from "../look/times";
import { Time } from "../look/Time";
import { useToasts } from "../look/toasts";
import { orderWords, type Ranks, ranksOf } from "./ranks";
import { ReturnDialog } from "./ReturnDialog";
import styles from "./Review.module.css";

interface Props {
  task: TaskToReview;
  names: ReadonlyMap<string, string>;
  mayReview: boolean;
  /** Take an order over into the last word. */
  onUse: ((ranks: Ranks) => void) | undefined;
}

/** Everyone's word, one beside the other: the order, ratings, flags and note, and what reviewers said. */
export function Answers({ task, names, mayReview, onUse }: Props) {
  const { merged } = task;
  return (
    <section className={styles["answers"]} aria-label="What annotators said">
      <h2>{task.answers.length === 0 ? "Nobody has judged this yet" : "What annotators said"}</h2>
      {task.answers.map((answer) => (
        <Answer key={answer.word.id} task={task} answer={answer} names={names} mayReview={mayReview} onUse={onUse} />
      ))}
      {merged !== null && (
        <div className={styles["merged"]}>
          <b>Together</b>
          <span className={styles["order"]}>{orderWords(merged.ranks, names)}</span>
          <Quiet>merged, everyone counting the same; {percent(merged.support)} of what was said of pairs agrees with it</Quiet>
          {onUse && <Use who="the merged order" onUse={() => { onUse(merged.ranks); }} />}
        </div>
      )}
    </section>
  );
}

function Use({ who, onUse }: { who: string; onUse: () => void }) {
  return (
    <Button small look="quiet" aria-label={`Use this order, ${who}, to begin the last word`} onClick={onUse}>
      Use this order
    </Button>
  );
}

function Answer({ task, answer, names, mayReview, onUse }: Omit<Props, "task"> & { task: TaskToReview; answer: WordToReview }) {
  const review = useReviewWord(task.id);
  const { say } = useToasts();
  const [returning, setReturning] = useState(false);
  const { annotator, word, standing } = answer;
  const about = [
    word.seconds_spent === null ? "" : lasting(word.seconds_spent),
    answer.changes === 0 ? "" : answer.changes === 1 ? "changed once" : `changed ${String(answer.changes)} times`,
    word.guidelines_version === null ? "" : `guidelines ${String(word.guidelines_version)}`,
  ].filter(Boolean);
  const accept = (): void => {
    review.mutate({ kind: task.kind, word: word.id, standing: "accepted", comment: "" }, { onError: (error) => { say(messageOf(error)); } });
  };
  return (
    <Card className={styles["answer"]}>
      <div className={styles["who"]}>
        <b>{annotator.name}</b>
        {answer.is_simulated && <Tag tone="idle">simulated</Tag>}
        {standing === "accepted" && <Tag>accepted</Tag>}
        {standing === "returned" && <Tag tone="warn">returned</Tag>}
        <Quiet>
          {about.join(" · ")}
          {about.length > 0 && " · "}
          <Time at={word.said_at} />
        </Quiet>
        {mayReview && (
          <span className={styles["acts"]}>
            {onUse && word.placements.length > 0 && <Use who={`the order of ${annotator.name}`} onUse={() => { onUse(ranksOf(answer)); }} />}
            <Button small look={standing === "returned" ? "plain" : "quiet"} disabled={review.isPending} aria-label={`Return… to ${annotator.name}`} onClick={() => { setReturning(true); }}>
              Return…
            </Button>
            <Button small disabled={review.isPending || standing === "accepted"} aria-label={`Accept the word of ${annotator.name}`} onClick={accept}>
              Accept
            </Button>
          </span>
        )}
      </div>
      <Said answer={answer} names={names} />
      {answer.reviews.length > 0 && (
        <ul className={styles["reviews"]}>
          {answer.reviews.map((each) => (
            <li key={each.created_at}>
              <Quiet>
                {each.standing} by {each.by}, <Time at={each.created_at} />
                {each.comment !== "" && ": "}
              </Quiet>
              {each.comment !== "" && <bdi>{each.comment}</bdi>}
            </li>
          ))}
        </ul>
      )}
      {returning && (
        <ReturnDialog
          name={annotator.name}
          pending={review.isPending}
          error={review.error}
          onClose={() => { setReturning(false); }}
          onReturn={(comment) => {
            review.mutate(
              { kind: task.kind, word: word.id, standing: "returned", comment },
              {
                onSuccess: () => {
                  setReturning(false);
                  say(`Returned. ${annotator.name} sees it with your comment; until it is changed it enters no dataset.`);
                },
              },
            );
          }}
        />
      )}
    </Card>
  );
}

const SIDES: Record<string, string> = { a: "›", a_slight: "≥", tie: "=", b_slight: "≤", b: "‹" };

function Said({ answer, names }: { answer: WordToReview; names: ReadonlyMap<string, string> }) {
  const { word } = answer;
  const letter = (id: string): string => names.get(id) ?? "?";
  if (word.form === "demonstration") return <Markdown text={word.text} />;
  const raised = word.placements.flatMap((placed) => placed.flags.map((flag) => `${letter(placed.response)}: ${flag.replaceAll("_", " ")}`));
  return (
    <div className={styles["said"]}>
      {word.form === "ranking" ? (
        <ol className={styles["chips"]} aria-label={`The order of ${answer.annotator.name}: ${orderWords(ranksOf(answer), names)}`}>
          {word.placements.map((placed, index) => (
            <li key={placed.response} data-tied={index > 0 && word.placements[index - 1]?.rank === placed.rank}>
              <b>{letter(placed.response)}</b>
              {placed.rating !== null && <span>{placed.rating}</span>}
            </li>
          ))}
        </ol>
      ) : (
        <ul className={styles["verdicts"]}>
          {word.verdicts.map((verdict) => (
            <li key={`${verdict.a} ${verdict.b}`}>
              {letter(verdict.a)} {SIDES[verdict.word] ?? verdict.word} {letter(verdict.b)}
            </li>
          ))}
        </ul>
      )}
      {(raised.length > 0 || word.flags.length > 0) && (
        <p>
          <Quiet>flags: {[...word.flags.map((flag) => flag.replaceAll("_", " ")), ...raised].join(", ")}</Quiet>
        </p>
      )}
      {word.note !== "" && <p dir="auto">“{word.note}”</p>}
    </div>
  );
}

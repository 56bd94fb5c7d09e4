import { useMutation } from "@tanstack/react-query";
import type { KeyboardEvent } from "react";
import { skipLease, submitRanking } from "../api/leases";
import { useSeconds } from "../desk/useSeconds";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { Markdown } from "../look/Markdown";
import { ErrorNote, Quiet } from "../look/states";
import styles from "./Chat.module.css";
import { candidates, type Move, placements, SCALE, type Talk, type Turn, unrated } from "./talk";

interface Props {
  talk: Talk;
  question: Turn;
  act: (move: Move) => Talk;
}

/** Several replies to one turn: rate each from 1 to 7, and go on from the best. Equal ratings are tied. */
export function ContestBoard({ talk, question, act }: Props) {
  const replies = candidates(talk, question.id);
  const missing = unrated(talk, question.id).length;
  const seconds = useSeconds(0);
  const contest = question.contest;
  const submit = useMutation({
    mutationFn: async () => {
      if (contest === undefined) return;
      await submitRanking(contest.lease, { placements: placements(contest), flags: [], note: "", seconds_spent: seconds() });
    },
    onSuccess: () => { act({ type: "settle", to: question.id, how: "ranked" }); },
  });
  const leave = useMutation({
    mutationFn: () => skipLease(contest?.lease ?? "", "Left while conversing"),
    onSettled: () => { act({ type: "settle", to: question.id, how: "left" }); },
  });
  return (
    <div className={styles["contest"]} role="group" aria-label="Replies to rank">
      <ol className={styles["replies"]}>
        {replies.map((reply, index) => {
          const letter = String.fromCharCode(65 + index);
          return (
            <li key={reply.id} className={styles["card"]} aria-label={`Reply ${letter}`}>
              <div className={styles["letter"]}>
                <Kbd>{letter}</Kbd>
              </div>
              <Markdown text={reply.text} className={styles["words"]} />
              <Scale letter={letter} rating={contest?.ratings[reply.id]} onRate={(rating) => { act({ type: "rate", to: question.id, id: reply.id, rating }); }} />
            </li>
          );
        })}
      </ol>
      {submit.isError && <ErrorNote error={submit.error} safe="Your ratings are kept on this device." onRetry={() => { submit.mutate(); }} />}
      <div className={styles["acts"]}>
        <Button look="go" disabled={missing > 0 || submit.isPending} onClick={() => { submit.mutate(); }}>
          Submit and go on from the best
        </Button>
        <Button disabled={submit.isPending || leave.isPending} onClick={() => { leave.mutate(); }}>
          Go on without ranking
        </Button>
        <Quiet>{missing > 0 ? `${String(missing)} of ${String(replies.length)} replies want a rating from 1 to 7.` : "Equal ratings are tied."}</Quiet>
      </div>
    </div>
  );
}

/** The 1–7 scale: one tab stop, arrows step through it. */
function Scale({ letter, rating, onRate }: { letter: string; rating: number | undefined; onRate: (rating: number) => void }) {
  const onKeyDown = (event: KeyboardEvent<HTMLElement>): void => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    const typed = Number(event.key);
    const wanted = by === undefined ? typed : rating === undefined ? (by === 1 ? 1 : 7) : rating + by;
    if (event.ctrlKey || event.metaKey || event.altKey || !(SCALE as readonly number[]).includes(wanted)) return;
    event.preventDefault();
    onRate(wanted);
    event.currentTarget.querySelectorAll("button")[wanted - 1]?.focus();
  };
  return (
    // eslint-disable-next-line jsx-a11y/interactive-supports-focus
    <div className={styles["scale"]} role="radiogroup" aria-label={`Rating of reply ${letter}, 1 worst to 7 best`} onKeyDown={onKeyDown}>
      {SCALE.map((value) => (
        <button
          key={value}
          type="button"
          role="radio"
          aria-checked={rating === value}
          tabIndex={rating === value || (rating === undefined && value === 1) ? 0 : -1}
          onClick={() => { onRate(value); }}
        >
          {value}
        </button>
      ))}
    </div>
  );
}

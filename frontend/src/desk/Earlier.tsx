import { type ReactNode, useState } from "react";
import { type Submission, useWords, type Word } from "../api/submissions";
import { useReviewsOfMine } from "../api/standing";
import { Button } from "../look/Button";
import { ErrorNote, Quiet, Skeleton } from "../look/states";
import { Time } from "../look/Time";
import styles from "./Earlier.module.css";

/** What was submitted, when, and each word that it has superseded. */
export function Earlier({ submission, tell }: { submission: Submission; tell: (word: Word, submission: Submission) => ReactNode }) {
  const { submitted_at, changes, word, lease } = submission;
  const [open, setOpen] = useState(false);
  const reviews = useReviewsOfMine(lease);
  const words = useWords(lease, open && changes > 0);
  const earlier = words.data?.pages.flatMap((page) => page.results).filter((each) => !each.is_current) ?? [];
  return (
    <section className={styles["earlier"]} aria-label="What you submitted">
      <div className={styles["line"]}>
        <p>
          <b>You submitted this</b> · <Time at={submitted_at} />
          {changes > 0 && (
            <>
              , last changed <Time at={word.said_at} />
            </>
          )}
        </p>
        {changes > 0 && (
          <Button look="quiet" small aria-expanded={open} onClick={() => { setOpen(!open); }}>
            {open ? "Hide" : "Show"} {changes === 1 ? "what you said before" : `the ${String(changes)} earlier versions`}
          </Button>
        )}
      </div>
      {(reviews.data ?? []).map((review) => (
        <p key={review.created_at} className={styles["review"]} data-standing={review.standing}>
          <b>{review.standing === "returned" ? `${review.by} returned it` : `${review.by} accepted it`}</b> · <Time at={review.created_at} />
          {review.comment !== "" && <span dir="auto">{review.comment}</span>}
        </p>
      ))}
      {open && words.isPending && <Skeleton lines={changes} />}
      {open && words.isError && <ErrorNote error={words.error} onRetry={() => void words.refetch()} />}
      {open && earlier.length > 0 && (
        <ol className={styles["words"]}>
          {earlier.map((each) => (
            <li key={each.id}>
              <Quiet>
                <Time at={each.said_at} />
              </Quiet>
              <div>{tell(each, submission)}</div>
            </li>
          ))}
        </ol>
      )}
      {open && words.hasNextPage && (
        <Button look="quiet" small onClick={() => void words.fetchNextPage()}>
          Earlier still
        </Button>
      )}
    </section>
  );
}

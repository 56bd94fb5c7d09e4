import type { ReactNode } from "react";
import { ApiError, messageOf } from "../api/client";
import { Button } from "./Button";
import { cx } from "./cx";
import { sentence } from "./sentence";
import styles from "./states.module.css";

/** What will be here, and the one button that fills it. */
export function Empty({ title, children, action }: { title: string; children: ReactNode; action?: ReactNode }) {
  return (
    <div className={styles["empty"]}>
      <h2>{title}</h2>
      <p>{children}</p>
      {action}
    </div>
  );
}

/** What happened, what is safe, what to do. */
export function ErrorNote({ error, safe, onRetry }: { error: unknown; safe?: string; onRetry?: () => void }) {
  const denied = error instanceof ApiError && error.code === "permission_denied";
  const offline = error instanceof ApiError && error.isOffline;
  const missing = error instanceof ApiError && error.status === 404;
  return (
    <div className={styles["error"]} role="alert">
      <p>
        <b>{offline ? "You are offline." : denied ? "Not yours to see." : missing ? "Not found." : "This did not work."}</b>{" "}
        {sentence(messageOf(error))} {denied ? "Ask an admin of the project for another role." : safe}
      </p>
      {onRetry && !denied && !missing && (
        <div>
          <Button small onClick={onRetry}>
            Try again
          </Button>
        </div>
      )}
    </div>
  );
}

/** A sentence that wants to be seen, and perhaps one thing to do about it. */
export function Note({ children, action }: { children: ReactNode; action?: ReactNode }) {
  return (
    <div className={styles["note"]} role="status">
      <span>{children}</span>
      {action}
    </div>
  );
}

/** The shape of what is coming; drawn only when it takes longer than 150 ms. */
export function Skeleton({ lines = 6, blocks = 0 }: { lines?: number; blocks?: number }) {
  return (
    <div className={styles["skeleton"]} role="status" aria-label="Loading">
      {Array.from({ length: blocks }, (_, index) => (
        <div key={`block ${String(index)}`} className={cx(styles["bone"], styles["block"])} />
      ))}
      {Array.from({ length: lines }, (_, index) => (
        <div key={`line ${String(index)}`} className={styles["bone"]} />
      ))}
    </div>
  );
}

/** How much is done; without a value: that something is going on. */
export function Progress({ value, label }: { value: number | null; label: string }) {
  return <progress className={styles["bar"]} max={1} aria-label={label} {...(value !== null && { value })} />;
}

export type Tone = "good" | "warn" | "fail" | "idle";

export function Tag({ tone = "good", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={cx(styles["tag"], tone !== "good" && styles[tone])}>{children}</span>;
}

/** Words for screen readers alone. */
export function Spoken({ children }: { children: ReactNode }) {
  return <span className={styles["hidden"]}>{children}</span>;
}

/** Small print. */
export function Quiet({ children }: { children: ReactNode }) {
  return <span className={styles["quiet"]}>{children}</span>;
}

import type { ReactNode, SubmitEvent } from "react";
import styles from "./Door.module.css";
import { Mark } from "./Mark";

/** The page before one is in: the mark, a name, and what is asked for. */
export function Door({ title, about, children }: { title: string; about?: string; children: ReactNode }) {
  return (
    <main className={styles["page"]}>
      <div className={styles["sheet"]}>
        <div className={styles["mark"]}>
          <Mark size={40} />
          <h1>{title}</h1>
          {about !== undefined && <p>{about}</p>}
        </div>
        {children}
      </div>
    </main>
  );
}

interface SlipProps {
  onSubmit: () => void;
  /** Leave it to the server to say what is missing. */
  noValidate?: boolean;
  children: ReactNode;
}

/** A few fields on a card, one under the other. */
export function Slip({ onSubmit, noValidate = false, children }: SlipProps) {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    onSubmit();
  };
  return (
    <form className={styles["form"]} onSubmit={submit} noValidate={noValidate}>
      {children}
    </form>
  );
}

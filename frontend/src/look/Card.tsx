import type { ReactNode } from "react";
import styles from "./Card.module.css";
import { cx } from "./cx";

/** A sheet of paper with a hairline around it, and a title that names its region. */
export function Card({ title, aside, className, children }: { title?: string; aside?: ReactNode; className?: string | undefined; children: ReactNode }) {
  return (
    <section className={cx(styles["card"], className)} aria-label={title}>
      {title !== undefined && (
        <div className={styles["title"]}>
          <h2>{title}</h2>
          {aside}
        </div>
      )}
      {children}
    </section>
  );
}

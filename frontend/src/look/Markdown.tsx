import { lazy, Suspense } from "react";
import { cx } from "./cx";
import styles from "./Markdown.module.css";

const Rendered = lazy(() => import("./Rendered"));

/** Markdown for reading; the plain text stands there until the renderer has come. */
export function Markdown({ text, className }: { text: string; className?: string | undefined }) {
  return (
    <div className={cx(styles["text"], className)} dir="auto">
      <Suspense fallback={<p className={styles["plain"]}>{text}</p>}>
        <Rendered text={text} />
      </Suspense>
    </div>
  );
}

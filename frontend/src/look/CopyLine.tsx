import { Button } from "./Button";
import styles from "./CopyLine.module.css";
import { useCopied } from "./useCopied";

/** Something to copy: shown whole, copied by one button. */
export function CopyLine({ text, label }: { text: string; label: string }) {
  const [copied, copy] = useCopied(text);
  return (
    <div className={styles["line"]}>
      <pre>{text}</pre>
      <Button small onClick={copy} aria-label={`${copied ? "Copied" : "Copy"}: ${label}`}>
        {copied ? "Copied" : "Copy"}
      </Button>
    </div>
  );
}

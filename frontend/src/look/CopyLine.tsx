import { useState } from "react";
import { Button } from "./Button";
import styles from "./CopyLine.module.css";

/** Something to copy: shown whole, copied by one button. */
export function CopyLine({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = (): void => {
    void navigator.clipboard.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => { setCopied(false); }, 2_000);
    });
  };
  return (
    <div className={styles["line"]}>
      <pre>{text}</pre>
      <Button small onClick={copy} aria-label={`${copied ? "Copied" : "Copy"}: ${label}`}>
        {copied ? "Copied" : "Copy"}
      </Button>
    </div>
  );
}

import type { ReactNode } from "react";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { PageBar } from "../look/PageBar";
import styles from "./Desk.module.css";
import type { SaveState } from "./drafts";
import { SaveNote } from "./SaveNote";

interface Props {
  saved: SaveState;
  waiting: number;
  today: ReactNode;
  guidelinesKey: string;
  onGuidelines: () => void;
  onBack: (() => void) | undefined;
}

/** In the header: what is saved, what was done today, the way back, and the guidelines. */
export function DeskBar({ saved, waiting, today, guidelinesKey, onGuidelines, onBack }: Props) {
  return (
    <PageBar>
      <SaveNote state={saved} waiting={waiting} />
      <span className={styles["wide"]}>{today}</span>
      {onBack !== undefined && (
        <Button look="quiet" small aria-label="Back" title="Back to what you submitted before" onClick={onBack}>
          <span className={styles["narrow"]}>←</span>
          <span className={styles["wide"]}>
            Back <Kbd>⌫</Kbd>
          </span>
        </Button>
      )}
      <Button look="quiet" small onClick={onGuidelines}>
        Guidelines{" "}
        <span className={styles["wide"]}>
          <Kbd>{guidelinesKey}</Kbd>
        </span>
      </Button>
    </PageBar>
  );
}

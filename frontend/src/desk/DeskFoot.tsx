import type { ReactNode } from "react";
import { useKeys } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import styles from "./Desk.module.css";
import type { SaveState } from "./drafts";
import { SaveWarning } from "./SaveNote";

interface Props {
  /** The keys that are used most, in words. */
  keys: ReactNode;
  /** What is still to be done. */
  left: string;
  saved: SaveState;
  /** How many finished tasks could not be sent yet. */
  unsent: number;
  /** Someone has tried to submit what is not finished. */
  refused: boolean;
  ready: boolean;
  submit?: string;
  submitKey: string;
  onSubmit: () => void;
  /** Turn away from the task: skip it, or leave what was submitted as it is. */
  turn: { name: string; key?: string; run: () => void };
  /** More actions, before these. */
  children?: ReactNode;
}

/** The bar under a task; on a phone, under the thumb. */
export function DeskFoot({ keys, left, saved, unsent, refused, ready, submit = "Submit", submitKey, onSubmit, turn, children }: Props) {
  const help = useKeys();
  return (
    <footer className={styles["foot"]}>
      <span className={styles["keys"]}>
        {keys}
        <button type="button" className={styles["all-keys"]} onClick={help.openHelp}>
          <Kbd>?</Kbd> all keys
        </button>
      </span>
      <SaveWarning state={saved} unsent={unsent} />
      <span className={styles["left"]} role={refused ? "alert" : undefined} data-refused={refused}>
        {left}
      </span>
      {children}
      <Button onClick={turn.run}>
        {turn.name}{" "}
        {turn.key !== undefined && (
          <span className={styles["key"]}>
            <Kbd>{turn.key}</Kbd>
          </span>
        )}
      </Button>
      <Button look="go" aria-disabled={!ready} className={ready ? undefined : styles["not-yet"]} onClick={onSubmit}>
        {submit}{" "}
        <span className={styles["key"]}>
          <Kbd>{submitKey}</Kbd>
        </span>
      </Button>
    </footer>
  );
}

import type { ReactNode } from "react";
import { Spoken } from "../look/states";
import { atClock } from "../look/times";
import type { SaveState } from "./drafts";
import styles from "./SaveNote.module.css";

/** What is saved, in words: nobody should have to wonder. */
export function SaveNote({ state, waiting }: { state: SaveState; waiting: number }) {
  const unsent = waiting > 0 ? ` · ${String(waiting)} on the way` : "";
  return (
    <span role="status">
      {state.type === "untouched" && (unsent === "" ? <Spoken>Nothing to save yet</Spoken> : unsent.slice(3))}
      {state.type === "saving" && `Saving…${unsent}`}
      {state.type === "saved" && (
        <span className={styles["saved"]}>
          Saved {atClock(state.at)}
          {unsent}
        </span>
      )}
      {warningOf(state)}
    </span>
  );
}

/** What is not saved on the server, and where it is instead; nothing while all is well. */
function warningOf(state: SaveState): ReactNode {
  if (state.type === "offline") return <span className={styles["warn"]}>Offline, kept on this device</span>;
  if (state.type === "signed_out") return <span className={styles["warn"]}>Signed out, kept on this device</span>;
  if (state.type === "refused") return <span className={styles["warn"]}>Not saved: {state.message}</span>;
  return null;
}

/** The warning once more, where it stays in sight; the note in the header is the one that is spoken. */
export function SaveWarning({ state, unsent }: { state: SaveState; unsent: number }) {
  const warning = warningOf(state);
  if (warning === null && unsent === 0) return null;
  return (
    <span className={styles["again"]} aria-hidden="true">
      {warning ?? <span className={styles["warn"]}>{`Offline, ${String(unsent)} finished ${unsent === 1 ? "task" : "tasks"} kept on this device`}</span>}
    </span>
  );
}

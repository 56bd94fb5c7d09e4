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
      {state.type === "offline" && <span className={styles["warn"]}>Offline, kept on this device</span>}
      {state.type === "signed_out" && <span className={styles["warn"]}>Signed out, kept on this device</span>}
      {state.type === "refused" && <span className={styles["warn"]}>Not saved: {state.message}</span>}
    </span>
  );
}

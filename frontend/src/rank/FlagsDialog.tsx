import type { KeyboardEvent } from "react";
import type { FlagName, LabelSet } from "../api/shapes";
import { isWriting } from "../keys/shortcuts";
import { Dialog } from "../look/Dialog";
import { Field } from "../look/Field";
import { Kbd } from "../look/Kbd";
import { type Board, letterOf, type Move } from "./board";
import styles from "./FlagsDialog.module.css";

const LETTERS = "abcdefghijklmnopqrstuvwyz";

interface Props {
  board: Board;
  labels: LabelSet;
  play: (move: Move) => void;
  onClose: () => void;
}

/** The flags of the picked response and of the whole task, each with a letter of its own, and a note. */
export function FlagsDialog({ board, labels, play, onClose }: Props) {
  const id = board.selected;
  const raised = id === null ? [] : (board.flags[id] ?? []);
  const onResponse = id === null ? [] : withTakenAway(labels.response_flags, raised);
  const onTask = withTakenAway(labels.task_flags, board.taskFlags);
  const rows = [
    ...onResponse.map((flag) => ({ flag, raised: raised.includes(flag.key), move: { type: "flag" as const, id: id ?? "", flag: flag.key } })),
    ...onTask.map((flag) => ({ flag, raised: board.taskFlags.includes(flag.key), move: { type: "flagTask" as const, flag: flag.key } })),
  ];
  const byKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || (isWriting(event.target) && event.key !== "Escape")) return;
    const row = rows[LETTERS.indexOf(event.key.toLowerCase())];
    if (event.key.toLowerCase() === "x" || event.key === "Enter") {
      event.preventDefault();
      onClose();
    } else if (row !== undefined && event.key.length === 1) {
      event.preventDefault();
      play(row.move);
    }
  };
  return (
    <Dialog title={id === null ? "Flags of this task" : `Flags of response ${letterOf(board, id)}`} onClose={onClose} onKeyDown={byKey}>
      {onResponse.length > 0 && <Flags rows={rows.slice(0, onResponse.length)} from={0} name="This response" play={play} />}
      {onTask.length > 0 && <Flags rows={rows.slice(onResponse.length)} from={onResponse.length} name="The whole task" play={play} />}
      {rows.length === 0 && <p>This project has no flags.</p>}
      <Field label="Note" hint="For whoever reads this ranking later.">
        {(wiring) => <textarea {...wiring} rows={2} dir="auto" maxLength={10_000} value={board.note} onChange={(event) => { play({ type: "note", text: event.target.value }); }} />}
      </Field>
    </Dialog>
  );
}

/** The flags that can be raised, and those that are raised though the project has taken them away: they can be taken back. */
function withTakenAway(flags: readonly FlagName[], raised: readonly string[]): FlagName[] {
  const gone = raised.filter((key) => !flags.some((flag) => flag.key === key));
  return [...flags, ...gone.map((key) => ({ key, label: `${key.replaceAll("_", " ")} (no longer used)` }))];
}

function Flags({ rows, from, name, play }: { rows: { flag: FlagName; raised: boolean; move: Move }[]; from: number; name: string; play: (move: Move) => void }) {
  return (
    <fieldset className={styles["set"]}>
      <legend>{name}</legend>
      {rows.map(({ flag, raised, move }, index) => (
        <label key={flag.key}>
          <input type="checkbox" checked={raised} onChange={() => { play(move); }} />
          <span>{flag.label}</span>
          {from + index < LETTERS.length && <Kbd>{LETTERS[from + index]?.toUpperCase()}</Kbd>}
        </label>
      ))}
    </fieldset>
  );
}

import { useState } from "react";
import type { Prompt } from "../api/shapes";
import { Button } from "../look/Button";
import { Quiet } from "../look/states";
import styles from "./Prompts.module.css";
import type { Change } from "./words";

interface Props {
  rows: readonly Prompt[];
  picked: readonly Prompt[];
  pending: boolean;
  onPick: (ids: readonly number[], on: boolean) => void;
  onChange: (wish: Change) => void;
}

/** What can be done with the prompts that are chosen. */
export function ChangeBar({ rows, picked, pending, onPick, onChange }: Props) {
  const [tag, setTag] = useState("");
  const [priority, setPriority] = useState("1");
  const ids = rows.map((row) => row.id);
  const none = picked.length === 0;
  const off = none || pending;
  const word = tag.trim();
  const allRetired = !none && picked.every((row) => row.retired_at !== null);
  return (
    <div className={styles["bar"]} role="group" aria-label="Chosen prompts">
      <label className={styles["all"]}>
        <input type="checkbox" checked={picked.length === rows.length} ref={(box) => { if (box) box.indeterminate = !none && picked.length < rows.length; }} onChange={(event) => { onPick(ids, event.target.checked); }} />
        <span>{none ? "Choose all shown" : `${picked.length.toLocaleString()} chosen`}</span>
      </label>
      {none ? (
        <Quiet>Choose some to retire, tag or move them.</Quiet>
      ) : (
        <>
          <Button small disabled={off} onClick={() => { onChange({ retired: !allRetired }); }}>
            {allRetired ? "Take up again" : "Retire"}
          </Button>
          <span className={styles["with"]}>
            <input aria-label="Tag" placeholder="tag" maxLength={100} value={tag} onChange={(event) => { setTag(event.target.value); }} />
            <Button small disabled={off || word === ""} onClick={() => { onChange({ add_tags: [word] }); }}>
              Tag
            </Button>
            <Button small look="quiet" disabled={off || word === "" || !picked.some((row) => row.tags.includes(word))} onClick={() => { onChange({ remove_tags: [word] }); }}>
              Untag
            </Button>
          </span>
          <span className={styles["with"]}>
            <input aria-label="Priority" type="number" min={-1000} max={1000} value={priority} onChange={(event) => { setPriority(event.target.value); }} />
            <Button small disabled={off || !/^-?\d+$/.test(priority.trim())} onClick={() => { onChange({ priority: Number(priority) }); }}>
              Set priority
            </Button>
          </span>
          <Button small disabled={off} onClick={() => { onChange({ demonstrate: true }); }}>
            Ask for demonstrations
          </Button>
        </>
      )}
    </div>
  );
}

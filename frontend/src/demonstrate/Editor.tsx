import { type KeyboardEvent, useCallback, useEffect, useRef, useState } from "react";
import { Conversation } from "../desk/Conversation";
import { DeskBar } from "../desk/DeskBar";
import { DeskFoot } from "../desk/DeskFoot";
import type { Paper } from "../desk/paper";
import { SkipDialog } from "../desk/SkipDialog";
import { firstDraft, useDraft } from "../desk/useDraft";
import { useSeconds } from "../desk/useSeconds";
import { useShortcuts } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { Markdown } from "../look/Markdown";
import styles from "./Editor.module.css";
import { countWords } from "./words";

interface Props {
  paper: Paper;
  today: number | null;
  waiting: number;
  onSubmit: (body: { text: string; seconds_spent: number | null }) => void;
  onSkip?: (reason: string) => void;
  /** Leave what was submitted as it is. */
  onLeave?: (changed: boolean) => void;
  onGuidelines: () => void;
  onBack?: (() => void) | undefined;
}

/** One demonstration: the prompt above, the response being written, and how it will read. */
export function Editor({ paper, today, waiting, onSubmit, onSkip, onLeave, onGuidelines, onBack }: Props) {
  const [begun] = useState(() => firstDraft(paper.place, paper.draft));
  const [text, setText] = useState(typeof begun?.["text"] === "string" ? begun["text"] : "");
  const [preview, setPreview] = useState(false);
  const [skipping, setSkipping] = useState(false);
  const [refused, setRefused] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const draft = useDraft(paper.place, paper.savedAt);
  const seconds = useSeconds(typeof begun?.["seconds"] === "number" ? begun["seconds"] : 0);
  const empty = text.trim() === "";
  const same = paper.original !== null && text.trim() === paper.original["text"];

  useEffect(() => {
    field.current?.focus({ preventScroll: true });
  }, []);

  const write = (value: string): void => {
    setText(value);
    draft.change({ text: value, seconds: seconds() });
  };
  const submit = useCallback(() => {
    if (empty || same) {
      setRefused(true);
      field.current?.focus();
      return;
    }
    draft.end();
    onSubmit({ text: text.trim(), seconds_spent: seconds() });
  }, [empty, same, text, draft, seconds, onSubmit]);
  const skip = (reason: string): void => {
    draft.end();
    onSkip?.(reason);
  };
  const turn = onLeave === undefined ? { name: "Skip", key: "S", run: () => { setSkipping(true); } } : { name: "Leave it", key: "Esc", run: () => { onLeave(!same); } };
  useShortcuts("Demonstrate", [
    { keys: "Control+Enter", shown: ["Ctrl ⏎"], does: "Submit", run: submit },
    { keys: "Enter", does: "Write on, from outside the text", run: () => field.current?.focus() },
    { keys: "p", does: "Preview on and off", run: () => { setPreview((on) => !on); } },
    onLeave === undefined ? { keys: "s", does: "Skip, with a reason", run: turn.run } : { keys: "Escape", does: "Leave it as it was, from outside the text", run: turn.run },
    { keys: "g", does: "Guidelines", run: onGuidelines },
  ]);
  const leaveField = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    field.current?.blur();
  };
  const words = countWords(text);

  return (
    <>
      <DeskBar saved={draft.state} waiting={waiting} today={today !== null && `${String(today)} today`} guidelinesKey="G" onGuidelines={onGuidelines} onBack={onBack} />
      <Conversation messages={paper.task.prompt} />
      <div className={styles["sheets"]} data-preview={preview}>
        <section className={styles["sheet"]} aria-label="Your response">
          <div className={styles["head"]}>
            <label htmlFor="response">Your response</label>
            <span>
              {words} {words === 1 ? "word" : "words"}
            </span>
            <Button look="quiet" small aria-pressed={preview} onClick={() => { setPreview((on) => !on); }}>
              {preview ? "Hide preview" : "Preview"}
            </Button>
          </div>
          <textarea
            id="response"
            ref={field}
            className={styles["text"]}
            dir="auto"
            value={text}
            aria-invalid={refused && empty}
            placeholder="Write what the assistant should have said. Markdown works."
            onChange={(event) => { write(event.target.value); }}
            onKeyDown={leaveField}
          />
        </section>
        {preview && (
          <section className={styles["sheet"]} aria-label="Preview">
            <div className={styles["head"]}>
              <b>How it reads</b>
            </div>
            <div className={styles["rendered"]}>{empty ? <p>Nothing written yet.</p> : <Markdown text={text} />}</div>
          </section>
        )}
      </div>
      <DeskFoot
        keys={
          <>
            <Kbd>Ctrl ⏎</Kbd> submit&ensp; <Kbd>Esc</Kbd> leave the text&ensp;
          </>
        }
        left={same ? "Nothing is changed yet" : refused && empty ? "Write something first." : ""}
        refused={refused && (empty || same)}
        ready={!empty && !same}
        submit={paper.original === null ? "Submit" : "Submit the change"}
        submitKey="Ctrl ⏎"
        onSubmit={submit}
        turn={turn}
      />
      {skipping && <SkipDialog onSkip={skip} onClose={() => { setSkipping(false); }} />}
    </>
  );
}

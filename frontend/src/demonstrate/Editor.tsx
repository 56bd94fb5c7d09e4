import { type KeyboardEvent, type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { Conversation } from "../desk/Conversation";
import { DeskBar } from "../desk/DeskBar";
import { DeskFoot } from "../desk/DeskFoot";
import type { DemonstrationBody } from "../api/leases";
import type { Paper } from "../desk/paper";
import { ReportDialog } from "../desk/ReportDialog";
import { SkipDialog } from "../desk/SkipDialog";
import { firstDraft, useDraft } from "../desk/useDraft";
import { useSeconds } from "../desk/useSeconds";
import { useShortcuts } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { Markdown } from "../look/Markdown";
import { useToasts } from "../look/toasts";
import styles from "./Editor.module.css";
import { letterAt, StartDialog } from "./StartDialog";
import { countWords } from "../look/words";

interface Props {
  paper: Paper;
  today: number | null;
  waiting: number;
  unsent: number;
  onSubmit: (body: DemonstrationBody) => void;
  onSkip?: (reason: string) => void;
  /** Leave what was submitted as it is. */
  onLeave?: (changed: boolean) => void;
  onGuidelines: () => void;
  onBack?: (() => void) | undefined;
}

/** One demonstration: the prompt above, the response being written, and how it will read. */
export function Editor({ paper, today, waiting, unsent, onSubmit, onSkip, onLeave, onGuidelines, onBack }: Props) {
  const [begun] = useState(() => firstDraft(paper.place, paper.draft));
  const [text, setText] = useState(typeof begun?.["text"] === "string" ? begun["text"] : "");
  const [startedFrom, setStartedFrom] = useState(typeof begun?.["started_from"] === "string" ? begun["started_from"] : null);
  const [responses, setResponses] = useState(paper.task.responses);
  const [preview, setPreview] = useState(false);
  const [dialog, setDialog] = useState<"skip" | "report" | "start" | null>(null);
  const [refused, setRefused] = useState(false);
  const [starts, setStarts] = useState(0);
  const field = useRef<HTMLTextAreaElement>(null);
  const draft = useDraft(paper.place, paper.savedAt);
  const seconds = useSeconds(typeof begun?.["seconds"] === "number" ? begun["seconds"] : 0);
  const empty = text.trim() === "";
  const same = paper.original !== null && text.trim() === paper.original["text"] && startedFrom === (paper.original["started_from"] ?? null);
  const { say } = useToasts();
  const close = useCallback(() => { setDialog(null); }, []);

  useEffect(() => {
    field.current?.focus({ preventScroll: true }); // at first, and once a dialog that chose the text has closed
  }, [starts]);

  const keep = (value: string, start: string | null): void => {
    setText(value);
    setStartedFrom(start);
    draft.change({ text: value, started_from: start, seconds: seconds() });
  };
  // What is written on an empty sheet started from nothing.
  const write = (value: string): void => { keep(value, value.trim() === "" ? null : startedFrom); };
  const startFrom = (response: { id: string; text: string } | null): void => {
    const before = { text, startedFrom };
    setDialog(null);
    keep(response?.text ?? "", response?.id ?? null);
    if (text.trim() !== "") say(response === null ? "Started afresh." : "Your text was replaced.", () => { keep(before.text, before.startedFrom); });
    setStarts((count) => count + 1);
  };
  const submit = useCallback(() => {
    if (empty || same) {
      setRefused(true);
      field.current?.focus();
      return;
    }
    draft.end();
    onSubmit({ text: text.trim(), started_from: startedFrom, seconds_spent: seconds() });
  }, [empty, same, text, startedFrom, draft, seconds, onSubmit]);
  const skip = (reason: string): void => {
    draft.end();
    onSkip?.(reason);
  };
  const turn = onLeave === undefined ? { name: "Skip", key: "S", run: () => { setDialog("skip"); } } : { name: "Leave it", key: "Esc", run: () => { onLeave(!same); } };
  useShortcuts("Demonstrate", [
    { keys: "Control+Enter", shown: ["Ctrl ⏎"], does: "Submit", run: submit },
    { keys: "Enter", does: "Write on, from outside the text", run: () => field.current?.focus() },
    ...(paper.samples ? [{ keys: "f", does: "Start from a response of a model", run: () => { setDialog("start"); } }] : []),
    { keys: "r", does: "Report the prompt", run: () => { setDialog("report"); } },
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
      <Conversation messages={paper.task.prompt} onReport={() => { setDialog("report"); }} />
      <div className={styles["sheets"]} data-preview={preview}>
        <section className={styles["sheet"]} aria-label="Your response">
          <div className={styles["head"]}>
            <label htmlFor="response">Your response</label>
            <span>
              {words} {words === 1 ? "word" : "words"}
            </span>
            {paper.samples && (
              <Button look="quiet" small onClick={() => { setDialog("start"); }}>
                Start from a response
              </Button>
            )}
            <Button look="quiet" small aria-pressed={preview} onClick={() => { setPreview((on) => !on); }}>
              {preview ? "Hide preview" : "Preview"}
            </Button>
          </div>
          {startedFrom !== null && (
            <Started from={startedFrom} responses={responses}>
              <Button look="quiet" small onClick={() => { startFrom(null); }}>
                Start afresh
              </Button>
            </Started>
          )}
          <textarea
            id="response"
            ref={field}
            className={styles["text"]}
            dir="auto"
            maxLength={100_000}
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
        saved={draft.state}
        unsent={unsent}
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
      {dialog === "skip" && <SkipDialog onSkip={skip} onClose={close} />}
      {dialog === "report" && <ReportDialog lease={paper.lease} onClose={close} />}
      {dialog === "start" && <StartDialog lease={paper.lease} shown={responses} onShown={setResponses} onStart={startFrom} onClose={close} />}
    </>
  );
}

/** Which response the text began as, and how to let go of it. */
function Started({ from, responses, children }: { from: string; responses: readonly { id: string }[]; children: ReactNode }) {
  const place = responses.findIndex((each) => each.id === from);
  return (
    <p className={styles["started"]}>
      <span>Started from {place < 0 ? "a response of a model" : `response ${letterAt(place)}`}. This is stored with it.</span>
      {children}
    </p>
  );
}

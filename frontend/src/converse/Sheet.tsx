import { useCallback, useState } from "react";
import type { ConversationBody } from "../api/conversations";
import { DeskBar } from "../desk/DeskBar";
import { DeskFoot } from "../desk/DeskFoot";
import { ofConversation } from "../desk/drafts";
import { firstDraft, useDraft } from "../desk/useDraft";
import { useSeconds } from "../desk/useSeconds";
import { useShortcuts } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { useToasts } from "../look/toasts";
import styles from "./Sheet.module.css";
import { TurnField } from "./TurnField";
import { finished, fromDraft, isSaid, passedOn, rewritten, silence, type Turns, whatIsMissing } from "./turns";
import type { Begun } from "./useBegun";

interface Props {
  slug: string;
  begun: Begun;
  today: number | null;
  onSubmit: (body: ConversationBody) => void;
  onThrowAway: (begun: Begun) => void;
  onGuidelines: () => void;
  onBack: () => void;
}

/** One conversation: the turns so far, each open for writing, and the way to the next one. */
export function Sheet({ slug, begun, today, onSubmit, onThrowAway, onGuidelines, onBack }: Props) {
  const [place] = useState(() => ofConversation(slug, begun.id));
  const [before] = useState(() => firstDraft(place, begun.body));
  const [turns, setTurns] = useState(() => fromDraft(before));
  const [current, setCurrent] = useState(turns.length - 1);
  const [preview, setPreview] = useState(false);
  const [refused, setRefused] = useState(false);
  const { say } = useToasts();
  const draft = useDraft(place, begun.savedAt);
  const seconds = useSeconds(typeof before?.["seconds"] === "number" ? before["seconds"] : 0);
  const missing = whatIsMissing(turns);
  const last = turns.at(-1);

  const keep = (next: Turns): void => {
    setTurns(next);
    draft.change({ turns: next, seconds: seconds() });
  };
  const passOn = (): void => {
    const next = passedOn(turns);
    if (next !== turns) keep(next);
    setCurrent(next.length - 1);
    setPreview(false);
  };
  const takeBack = (): void => {
    const gone = turns;
    keep(turns.slice(0, -1));
    setCurrent(turns.length - 2);
    if (isSaid(last)) say("The last turn was taken back.", () => { keep(gone); });
  };
  const submit = useCallback(() => {
    if (missing !== "") {
      setRefused(true);
      return;
    }
    draft.end();
    onSubmit({ turns: finished(turns), seconds_spent: seconds() });
  }, [missing, turns, draft, seconds, onSubmit]);
  const throwAway = (): void => {
    if (turns !== silence) onThrowAway({ id: begun.id, body: { turns, seconds: seconds() }, savedAt: null });
  };
  useShortcuts("Converse", [
    { keys: "Control+Enter", shown: ["Ctrl ⏎"], does: "Submit", run: submit },
    { keys: "n", shown: ["Alt ⏎", "N"], does: "Pass on to the other side", run: passOn },
    { keys: "Enter", does: "Write on, from outside the text", run: () => { document.getElementById(`turn-${String(current)}`)?.focus(); } },
    { keys: "p", does: "Preview on and off", run: () => { setPreview((on) => !on); } },
    { keys: "g", does: "Guidelines", run: onGuidelines },
  ]);

  return (
    <>
      <DeskBar saved={draft.state} waiting={0} today={today !== null && `${String(today)} today`} guidelinesKey="G" onGuidelines={onGuidelines} onBack={onBack} />
      <div className={styles["head"]}>
        <p>Play both sides: what someone asks, and what the ideal assistant answers. Each ideal answer is learned from.</p>
        <Button look="quiet" small aria-pressed={preview} onClick={() => { setPreview((on) => !on); }}>
          {preview ? "Write on" : "Preview"}
        </Button>
      </div>
      <ol className={styles["turns"]} aria-label="Turns">
        {turns.map((turn, index) => (
          <TurnField
            key={`${String(index)} ${turn.role}`}
            turns={turns}
            place={index}
            preview={preview}
            focused={index === current}
            onWrite={(content) => { keep(rewritten(turns, index, content)); }}
            onFocus={() => { setCurrent(index); }}
            onPassOn={passOn}
          />
        ))}
      </ol>
      <div className={styles["next"]}>
        <Button disabled={!isSaid(last)} onClick={passOn}>
          {last?.role === "user" ? "The assistant’s turn" : "The user’s turn"} <Kbd>Alt ⏎</Kbd>
        </Button>
        {turns.length > 1 && (
          <Button look="quiet" onClick={takeBack}>
            Take the last turn back
          </Button>
        )}
      </div>
      <DeskFoot
        saved={draft.state}
        unsent={0}
        keys={
          <>
            <Kbd>Ctrl ⏎</Kbd> submit&ensp; <Kbd>Alt ⏎</Kbd> pass on&ensp; <Kbd>Esc</Kbd> leave the text&ensp;
          </>
        }
        left={refused ? missing : ""}
        refused={refused && missing !== ""}
        ready={missing === ""}
        submitKey="Ctrl ⏎"
        onSubmit={submit}
        turn={{ name: "Throw away", run: throwAway }}
      />
    </>
  );
}

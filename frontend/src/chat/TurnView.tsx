import { type KeyboardEvent, memo, useState } from "react";
import { Button } from "../look/Button";
import { Markdown } from "../look/Markdown";
import { Quiet, Tag } from "../look/states";
import { useCopied } from "../look/useCopied";
import styles from "./Chat.module.css";
import { branches, type Talk, type Turn } from "./talk";

interface Props {
  turn: Turn;
  talk: Talk;
  /** Who speaks. */
  name: string;
  /** A reply is being written: nothing else is begun. */
  busy: boolean;
  editing: boolean;
  isLast: boolean;
  onEdit: (is: boolean) => void;
  onSay: (text: string) => void;
  onAgain: () => void;
  onAnswer: () => void;
  onChoose: (id: string) => void;
  onAsk: () => void;
}

const ASKED = { demonstration: "A demonstration is asked for", ranking: "A ranking is asked for" };
const ENDINGS: Partial<Record<Turn["state"], string>> = { stopped: "stopped", cut: "cut at the longest length" };

/** One turn: who said it, what, and what can be done about it. */
export function TurnView({ turn, talk, name, busy, editing, isLast, onEdit, onSay, onAgain, onAnswer, onChoose, onAsk }: Props) {
  const mine = turn.role === "user";
  const open = turn.contest?.state === "open";
  return (
    <li className={styles["turn"]} data-role={turn.role}>
      <div className={styles["who"]}>
        <b>{name}</b>
        {turn.asked !== undefined && !open && <Tag>{turn.contest?.state === "ranked" ? "You ranked the replies" : ASKED[turn.asked]}</Tag>}
      </div>
      {editing ? (
        <Edit text={turn.text} onSay={onSay} onCancel={() => { onEdit(false); }} />
      ) : mine ? (
        <p className={styles["said"]} dir="auto">
          {turn.text}
        </p>
      ) : (
        <Reply text={turn.text} state={turn.state} />
      )}
      {turn.state === "failed" && (
        <p className={styles["problem"]} role="alert">
          {turn.problem}
        </p>
      )}
      {!editing && !open && turn.state !== "writing" && (
        <div className={styles["acts"]}>
          <Branches talk={talk} id={turn.id} onChoose={onChoose} />
          {mine && isLast && !busy && (
            <Button small onClick={onAnswer}>
              Get a reply
            </Button>
          )}
          {mine ? (
            <Button look="quiet" small disabled={busy} onClick={() => { onEdit(true); }}>
              Edit
            </Button>
          ) : (
            <Button {...(turn.state !== "failed" && { look: "quiet" as const })} small disabled={busy} onClick={onAgain}>
              {turn.state === "failed" ? "Try again" : "Regenerate"}
            </Button>
          )}
          {!mine && turn.text !== "" && <Copy text={turn.text} />}
          {turn.state !== "failed" && (
            <Button look="quiet" small onClick={onAsk}>
              Send to labeling
            </Button>
          )}
          {ENDINGS[turn.state] !== undefined && <Quiet>{ENDINGS[turn.state]}</Quiet>}
        </div>
      )}
    </li>
  );
}

/** What a model said; hostile text, rendered without anything that runs, loads or leads away. */
const Reply = memo(function Reply({ text, state }: { text: string; state: Turn["state"] }) {
  if (text === "" && state !== "writing") return state === "failed" ? null : <Quiet>It said nothing.</Quiet>;
  return (
    <div className={styles["reply"]} data-writing={state === "writing"}>
      <Markdown text={text} />
    </div>
  );
});

/** ‹ 2/3 › */
function Branches({ talk, id, onChoose }: { talk: Talk; id: string; onChoose: (id: string) => void }) {
  const { at, ids } = branches(talk, id);
  if (ids.length < 2) return null;
  const step = (by: number, sign: string, word: string) => {
    const other = ids[at - 1 + by];
    return (
      <button type="button" aria-label={`${word} version`} disabled={other === undefined} onClick={() => { if (other !== undefined) onChoose(other); }}>
        {sign}
      </button>
    );
  };
  return (
    <span className={styles["branches"]} role="group" aria-label={`Version ${String(at)} of ${String(ids.length)}`}>
      {step(-1, "‹", "Previous")}
      <span>
        {at}/{ids.length}
      </span>
      {step(1, "›", "Next")}
    </span>
  );
}

function Copy({ text }: { text: string }) {
  const [copied, copy] = useCopied(text);
  return (
    <Button look="quiet" small onClick={copy}>
      {copied ? "Copied" : "Copy"}
    </Button>
  );
}

/** Say it differently: what was said stays, as another branch. */
function Edit({ text: before, onSay, onCancel }: { text: string; onSay: (text: string) => void; onCancel: () => void }) {
  const [text, setText] = useState(before);
  const say = (): void => {
    if (text.trim() !== "") onSay(text);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      onCancel();
    } else if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      say();
    }
  };
  return (
    <div className={styles["edit"]}>
      {/* The person has just asked to write here. */}
      {/* eslint-disable-next-line jsx-a11y/no-autofocus */}
      <textarea autoFocus aria-label="Edit what you said" maxLength={20_000} value={text} onChange={(event) => { setText(event.target.value); }} onKeyDown={onKeyDown} />
      <div className={styles["acts"]}>
        <Button small look="go" disabled={text.trim() === ""} onClick={say}>
          Send as a new branch
        </Button>
        <Button small onClick={onCancel}>
          Cancel
        </Button>
      </div>
    </div>
  );
}

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useAskForRanking } from "../api/chat";
import { newId } from "../api/client";
import type { Model } from "../api/shapes";
import { useShortcuts } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { ErrorNote, Quiet, Skeleton, Spoken } from "../look/states";
import { AskPeople } from "./AskPeople";
import styles from "./Chat.module.css";
import { Composer } from "./Composer";
import { ContestBoard } from "./ContestBoard";
import { MannerDialog } from "./MannerDialog";
import type { Manner } from "./shelf";
import { messages, path, questionOf, type Talk, type Turn } from "./talk";
import { TurnView } from "./TurnView";
import { beingWritten, useTalk } from "./useTalk";

interface Props {
  slug: string;
  first: Talk;
  model: string;
  talkers: readonly Model[];
  manner: Manner;
  canRank: boolean;
  onManner: (manner: Manner) => void;
  onChange: (talk: Talk, model: string) => void;
  onList: () => void;
}

const KEEP_AFTER_MS = 300;
const NEAR_THE_END_PX = 160;

/** One conversation: its turns, the reply that is being written, and where one says the next thing. */
export function Thread({ slug, first, model: usual, talkers, manner, canRank, onManner, onChange, onList }: Props) {
  const { talk, act, reply, stop: stopReply } = useTalk(first);
  const [model, setModel] = useState(usual);
  const [draft, setDraft] = useState("");
  const [dialog, setDialog] = useState<"manner" | { asking: string } | null>(null);
  const [editing, setEditing] = useState<string | null>(null);
  const order = useAskForRanking(slug);
  const ordering = useOrdering();
  const field = useRef<HTMLTextAreaElement>(null);
  const turns = path(talk);
  const last = turns.at(-1);
  const writing = beingWritten(talk);
  const open = last?.contest?.state === "open" ? last : undefined;
  const sampling = { temperature: manner.temperature, max_tokens: manner.max_tokens };
  const busy = writing !== null || order.isPending;
  useKeptTalk(talk, model, onChange);
  useFollowing(last);

  const stop = (): void => {
    stopReply();
    if (!order.isPending) return;
    ordering.end();
    order.reset();
  };
  const answer = (to: string): void => {
    if (!manner.contest) {
      reply(to, model, sampling);
      return;
    }
    order.mutate(
      { model, messages: messages(act({ type: "choose", id: to }), to), sampling, take: true, signal: ordering.begin() },
      {
        onSuccess: ({ lease }) => {
          if (lease === null) return;
          const dealt = lease.task.responses.map((each) => ({ id: newId(), response: each.id, text: each.text }));
          act({ type: "contest", to, lease: lease.id, model, candidates: dealt });
        },
      },
    );
  };
  const say = (text: string, after: string | null): void => {
    const id = newId();
    if (act({ type: "say", id, after, text }).turns.some((turn) => turn.id === id)) answer(id);
  };
  const send = (): void => {
    if (draft.trim() === "" || busy || last?.role === "user") return;
    say(draft, last?.id ?? null);
    setDraft("");
  };
  const again = (turn: Turn): void => {
    if (busy || turn.parent === null) return;
    if (turn.text === "") reply(turn.parent, model, sampling, turn.id);
    else answer(turn.parent);
  };
  const lastReply = turns.findLast((turn) => turn.role === "assistant");
  const lastSaid = turns.findLast((turn) => turn.role === "user");
  useShortcuts("Conversation", [
    { keys: "Escape", does: "Stop the reply", run: stop },
    { keys: "Enter", does: "In the text field: send", run: () => field.current?.focus() },
    { keys: "Shift+Enter", does: "In the text field: a new line", run: () => field.current?.focus() },
    { keys: "r", does: "Write the last reply again", run: () => { if (lastReply && lastReply === last) again(lastReply); } },
    { keys: "e", does: "Edit what I said last", run: () => { if (lastSaid && !busy && !open) setEditing(lastSaid.id); } },
    { keys: "s", does: "Settings", run: () => { setDialog("manner"); } },
  ]);

  const name = (id: string | undefined): string => (id === undefined ? "Model" : nameOf(talkers, id));
  return (
    <section className={styles["thread"]} aria-label="Conversation">
      <div className={styles["bar"]}>
        <Button small className={styles["narrow"]} onClick={onList}>
          Conversations
        </Button>
        <label className={styles["model"]}>
          <span>Talk to</span>
          <select value={model} onChange={(event) => { setModel(event.target.value); }}>
            {talkers.map((each) => (
              <option key={each.id} value={each.id}>
                {nameOf(talkers, each.id)}
              </option>
            ))}
          </select>
        </label>
        <Button small onClick={() => { setDialog("manner"); }}>
          Settings
        </Button>
        <Quiet>
          temperature {manner.temperature} · up to {manner.max_tokens} tokens{manner.contest && " · ranked turn by turn"}
        </Quiet>
      </div>
      {turns.length === 0 && (
        <div className={styles["beginning"]}>
          <h2>Talk to {name(model)}</h2>
          <p>{manner.contest ? "Each turn it writes several replies. You rank them, and go on from the best." : "Its reply appears word by word. Any turn can be edited, tried again, or sent to the annotators."}</p>
        </div>
      )}
      <ol className={styles["turns"]}>
        {turns.map((turn) => (
          <TurnView
            key={turn.id}
            turn={turn}
            talk={talk}
            name={turn.role === "user" ? "You" : name(turn.model)}
            busy={busy}
            editing={editing === turn.id}
            onEdit={(is) => { setEditing(is ? turn.id : null); }}
            onSay={(text) => {
              setEditing(null);
              say(text, turn.parent);
            }}
            onAgain={() => { again(turn); }}
            onAnswer={() => { answer(turn.id); }}
            isLast={turn === last}
            onChoose={(id) => { act({ type: "choose", id }); }}
            onAsk={() => { setDialog({ asking: questionOf(talk, turn.id)?.id ?? turn.id }); }}
          />
        ))}
      </ol>
      {order.isPending && (
        <div aria-live="polite">
          <Quiet>{name(model)} is writing several replies…</Quiet>
          <Skeleton lines={0} blocks={2} />
        </div>
      )}
      {order.isError && last?.role === "user" && last.contest === undefined && (
        <ErrorNote error={order.error} safe="What you said is kept." onRetry={() => { answer(last.id); }} />
      )}
      {open !== undefined && <ContestBoard key={open.id} talk={talk} question={open} act={act} />}
      <Spoken>
        <span role="status">{spoken(last, name)}</span>
      </Spoken>
      {open === undefined && (
        <Composer ref={field} text={draft} onText={setDraft} onSend={send} onStop={stop} writing={busy} blocked={last?.role === "user"} />
      )}
      {dialog === "manner" && <MannerDialog manner={manner} canRank={canRank} onChange={onManner} onClose={() => { setDialog(null); }} />}
      {dialog !== null && dialog !== "manner" && (
        <AskPeople
          slug={slug}
          model={model}
          name={name(model)}
          messages={messages(talk, dialog.asking)}
          sampling={sampling}
          onAsked={(what) => { act({ type: "asked", id: dialog.asking, what }); }}
          onClose={() => { setDialog(null); }}
        />
      )}
    </section>
  );
}

/** The champion is known by that word; a model that is gone, by the name that it had. */
function nameOf(talkers: readonly Model[], id: string): string {
  const found = talkers.find((each) => each.id === id);
  if (found === undefined) return id.slice(id.indexOf("/") + 1);
  return found.id === found.owned_by ? `the champion (${found.name})` : found.name;
}

/** What a screen reader hears: that a reply has begun, and the whole of it when it has ended. */
function spoken(last: Turn | undefined, name: (id: string | undefined) => string): string {
  if (last?.role !== "assistant") return "";
  if (last.state === "writing") return `${name(last.model)} is writing.`;
  return last.state === "failed" ? "" : `${name(last.model)} said: ${last.text}`;
}

/** The order of replies to be ranked, which ends when someone stops it or leaves the conversation. */
function useOrdering(): { begin: () => AbortSignal; end: () => void } {
  const current = useRef<AbortController | null>(null);
  const end = useCallback((): void => { current.current?.abort(); }, []);
  useEffect(() => end, [end]);
  return {
    begin: () => {
      current.current = new AbortController();
      return current.current.signal;
    },
    end,
  };
}

/** What is said is kept a moment later, also while more is being said, and at once when the page or the conversation is left. */
function useKeptTalk(talk: Talk, model: string, onChange: (talk: Talk, model: string) => void): void {
  const unkept = useRef<(() => void) | null>(null);
  const keep = useRef(onChange);
  const before = useRef(talk);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useLayoutEffect(() => {
    keep.current = onChange;
  });
  useEffect(() => {
    if (before.current === talk) return;
    before.current = talk;
    unkept.current = () => {
      clearTimeout(timer.current);
      timer.current = undefined;
      unkept.current = null;
      keep.current(talk, model);
    };
    timer.current ??= setTimeout(() => { unkept.current?.(); }, KEEP_AFTER_MS);
  }, [talk, model]);
  useEffect(() => {
    const now = (): void => { unkept.current?.(); };
    window.addEventListener("pagehide", now);
    return () => {
      window.removeEventListener("pagehide", now);
      now();
    };
  }, []);
}

/** The page follows what is being written, unless someone has scrolled up to read. */
function useFollowing(last: Turn | undefined): void {
  const near = useRef(true);
  useEffect(() => {
    const look = (): void => {
      near.current = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - NEAR_THE_END_PX;
    };
    window.addEventListener("scroll", look, { passive: true });
    return () => { window.removeEventListener("scroll", look); };
  }, []);
  const id = last?.id;
  const written = last?.text.length;
  useLayoutEffect(() => {
    if (near.current) window.scrollTo({ top: document.documentElement.scrollHeight });
  }, [id, written]);
}

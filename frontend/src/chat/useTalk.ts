import { useCallback, useEffect, useRef, useState } from "react";
import { type Sampling, streamReply } from "../api/chat";
import { messageOf, newId } from "../api/client";
import { messages, type Move, path, play, type Talk } from "./talk";

interface LiveTalk {
  talk: Talk;
  act: (move: Move) => Talk;
  /** Let a model reply to a user's turn; `again` is a reply that said nothing. */
  reply: (to: string, model: string, sampling: Sampling, again?: string) => void;
  stop: () => void;
}

/** A conversation and the replies that are being written into it; leaving it stops them. */
export function useTalk(first: Talk): LiveTalk {
  const [talk, setTalk] = useState(first);
  const latest = useRef(first);
  const writing = useRef(new Map<string, AbortController>());

  const act = useCallback((move: Move): Talk => {
    latest.current = play(latest.current, move);
    setTalk(latest.current);
    return latest.current;
  }, []);

  const stop = useCallback(() => {
    for (const [id, controller] of writing.current) {
      controller.abort();
      act({ type: "end", id, how: "stopped" });
    }
    writing.current.clear();
  }, [act]);

  const reply = useCallback(
    (to: string, model: string, sampling: Sampling, again?: string) => {
      const id = again ?? newId();
      const controller = new AbortController();
      const sent = messages(act({ type: "reply", id, to, model }), to);
      writing.current.set(id, controller);
      streamReply(model, sent, sampling, controller.signal, (text) => { act({ type: "word", id, text }); })
        .then(
          (how) => { act({ type: "end", id, how }); },
          (error: unknown) => { act({ type: "end", id, ...(controller.signal.aborted ? { how: "stopped" } : { how: "failed", problem: messageOf(error) }) }); },
        )
        .finally(() => { writing.current.delete(id); });
    },
    [act],
  );

  useEffect(() => stop, [stop]);
  return { talk, act, reply, stop };
}

/** The reply that is being written on the branch that is looked at. */
export function beingWritten(talk: Talk): string | null {
  const last = path(talk).at(-1);
  return last?.state === "writing" ? last.id : null;
}

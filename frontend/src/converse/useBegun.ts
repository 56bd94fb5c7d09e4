import { useCallback, useEffect, useState } from "react";
import { ApiError, newId } from "../api/client";
import { unfinishedConversation } from "../api/conversations";
import type { DraftBody } from "../api/leases";
import { keep, kept } from "../desk/device";
import { draftOnDevice } from "../desk/drafts";
import { waitingParcels } from "../desk/outbox";

/** The conversation on the desk: under which id, and what was written of it so far. */
export interface Begun {
  id: string;
  body: DraftBody | null;
  savedAt: string | null;
}

type State = { type: "loading" } | { type: "failed"; error: unknown } | { type: "here"; begun: Begun };

function fresh(): Begun {
  return { id: newId(), body: null, savedAt: null };
}

/** What was begun on this device and not sent yet, else what the server keeps, else an empty sheet. */
async function lookFor(slug: string, user: number, place: string): Promise<Begun> {
  const id = kept(place);
  const unsent = typeof id === "string" ? draftOnDevice(id) : null;
  if (typeof id === "string" && unsent !== null) return { id, body: unsent, savedAt: null };
  try {
    const found = await unfinishedConversation(slug);
    const onTheWay = waitingParcels(user).map((parcel) => parcel.lease);
    if (found === null || onTheWay.includes(found.id)) return fresh();
    return { id: found.id, body: found.body, savedAt: found.saved_at };
  } catch (error) {
    if (error instanceof ApiError && error.isOffline) return fresh();
    throw error;
  }
}

/** What is on the desk, and how to lay something else there; this device remembers which conversation it was. */
export function useBegun(slug: string, user: number): { state: State; lay: (begun?: Begun) => void; retry: () => void } {
  const place = `laurel.converse.${String(user)}.${slug}`;
  const [state, setState] = useState<State>({ type: "loading" });
  const lay = useCallback(
    (begun: Begun = fresh()) => {
      keep(place, begun.id);
      setState({ type: "here", begun });
    },
    [place],
  );
  const retry = useCallback(() => {
    setState({ type: "loading" });
    lookFor(slug, user, place).then(lay, (error: unknown) => { setState({ type: "failed", error }); });
  }, [slug, user, place, lay]);
  useEffect(() => {
    queueMicrotask(retry);
  }, [retry]);
  return { state, lay, retry };
}

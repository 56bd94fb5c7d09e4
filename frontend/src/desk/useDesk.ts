import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, messageOf } from "../api/client";
import { giveBack, heldLeases, type Lease, renewLease, takeLease, type TaskKind } from "../api/leases";
import { forgetDraft } from "./drafts";
import { deliver, type Parcel, post, waitingParcels } from "./outbox";

export interface Desk {
  phase: "loading" | "working" | "empty" | "offline" | "refused" | "failed";
  lease: Lease | null;
  error: unknown;
  /** What happened to a task that is no longer here. */
  notice: string | null;
  /** Finished work, and tasks that were skipped, that wait on this device for the server. */
  waiting: number;
  /** How much of it the server could not be given when it was tried last. */
  unsent: number;
  /** The lease that was submitted last in this sitting. */
  last: string | null;
  /** What was done with the task before this one, in a word; and how many were dealt with in this sitting. */
  did: "Submitted." | "Skipped." | null;
  turn: number;
  submit: (parcel: Parcel) => void;
  skip: (reason: string) => void;
  lookAgain: () => void;
  dismiss: () => void;
}

interface State {
  phase: Desk["phase"];
  lease: Lease | null;
  error: unknown;
}

/** Why the project hands out no more to someone, for now. */
const RULES = ["not_qualified", "qualify_first", "daily_limit_reached"];
const LOOK_AGAIN_MS = 20_000;
const SEND_AGAIN_MS = 10_000;

function refusalOf(parcel: Parcel, error: ApiError): string {
  return parcel.kind === "skip" ? `The task could not be skipped: ${error.message}` : error.message;
}

/** One annotator's desk: the task in front of them, the next one prefetched, and finished work on its way. */
export function useDesk(slug: string, kind: TaskKind, user: number): Desk {
  const queries = useQueryClient();
  const [state, setState] = useState<State>({ phase: "loading", lease: null, error: null });
  const [notice, setNotice] = useState<string | null>(null);
  const [waiting, setWaiting] = useState(() => waitingParcels(user).length);
  const [unsent, setUnsent] = useState(0);
  const [last, setLast] = useState<string | null>(null);
  const [dealt, setDealt] = useState<Pick<Desk, "did" | "turn">>({ did: null, turn: 0 });
  const next = useRef<Lease | null>(null);
  const current = useRef<Lease | null>(null);
  const fetching = useRef(false);
  const turn = useRef(0);

  const show = useCallback((lease: Lease | null, phase: Desk["phase"], error: unknown = null) => {
    current.current = lease;
    setState({ phase, lease, error });
  }, []);

  /** Have one more task at hand; quietly nothing when there is none, or when two are held already. */
  const prefetch = useCallback(async () => {
    const mine = turn.current;
    if (fetching.current || next.current !== null || current.current === null) return;
    fetching.current = true;
    try {
      const lease = await takeLease(slug, kind);
      const inFront = current.current as Lease | null; // it may have been submitted in the meantime
      if (lease !== null && mine !== turn.current) giveBack(lease.id);
      else if (lease !== null && lease.id !== inFront?.id) next.current = lease;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    } finally {
      fetching.current = false;
    }
  }, [slug, kind]);

  const load = useCallback(async () => {
    const mine = ++turn.current;
    try {
      const onTheWay = waitingParcels(user).map((parcel) => parcel.lease);
      const held = (await heldLeases(slug, kind)).filter((lease) => !onTheWay.includes(lease.id));
      const lease = held[0] ?? (await takeLease(slug, kind));
      if (mine !== turn.current) return;
      next.current = held[1] ?? null;
      show(lease, lease === null ? "empty" : "working");
      void prefetch();
    } catch (error) {
      if (mine !== turn.current) return;
      const unsent = waitingParcels(user).length > 0; // what is not sent yet still holds its leases
      if (error instanceof ApiError && RULES.includes(error.code)) show(null, "refused", error);
      else show(null, unsent || (error instanceof ApiError && error.isOffline) ? "offline" : "failed", error);
    }
  }, [slug, kind, user, show, prefetch]);

  /** Put the next task in front of the annotator, at once if it is at hand. */
  const advance = useCallback(() => {
    const lease = next.current;
    next.current = null;
    if (lease === null) {
      show(null, "loading");
      return;
    }
    show(lease, "working");
    renewLease(lease.id).catch((error: unknown) => {
      if (!(error instanceof ApiError) || error.status !== 409 || current.current?.id !== lease.id) return;
      setNotice(messageOf(error));
      forgetDraft(lease.id);
      show(null, "loading");
      void load();
    });
  }, [show, load]);

  const refill = useCallback(() => {
    if (current.current === null) void load();
    else void prefetch();
    for (const key of ["progress", "standing"]) void queries.invalidateQueries({ queryKey: [key, slug] });
  }, [load, prefetch, queries, slug]);

  const send = useCallback(
    async (parcel: Parcel) => {
      const delivery = await deliver(user, parcel);
      setWaiting(waitingParcels(user).length);
      setUnsent(delivery.type === "later" ? waitingParcels(user).length : 0);
      if (delivery.type === "refused") setNotice(refusalOf(parcel, delivery.error));
      if (delivery.type === "later") {
        if (delivery.error.status === 401) void queries.invalidateQueries({ queryKey: ["session"] });
        if (current.current === null) show(null, "offline");
      } else refill();
    },
    [user, show, refill, queries],
  );

  /** Keep a parcel on this device, have the next task in front, and send it. */
  const dispatch = useCallback(
    (parcel: Parcel, did: Desk["did"]) => {
      post(user, parcel);
      setWaiting(waitingParcels(user).length);
      setDealt(({ turn }) => ({ did, turn: turn + 1 }));
      advance();
      void send(parcel);
    },
    [user, advance, send],
  );

  const submit = useCallback(
    (parcel: Parcel) => {
      setLast(parcel.lease);
      dispatch(parcel, "Submitted.");
    },
    [dispatch],
  );

  const skip = useCallback(
    (reason: string) => {
      const lease = current.current;
      if (lease === null) return;
      forgetDraft(lease.id);
      dispatch({ lease: lease.id, kind: "skip", reason }, "Skipped.");
    },
    [dispatch],
  );

  useEffect(() => {
    queueMicrotask(() => void load());
    const leave = (): void => {
      turn.current += 1;
      if (next.current !== null) giveBack(next.current.id);
      next.current = null;
    };
    const comeBack = (event: PageTransitionEvent): void => {
      if (event.persisted) void load();
    };
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", comeBack);
    return () => {
      window.removeEventListener("pagehide", leave);
      window.removeEventListener("pageshow", comeBack);
      leave();
    };
  }, [load]);

  useEffect(() => {
    if (waiting === 0) return;
    const sendAll = (): void => {
      const parcels = waitingParcels(user);
      setWaiting(parcels.length); // another page may have sent them
      if (parcels.length === 0) setUnsent(0);
      for (const parcel of parcels) void send(parcel);
    };
    const timer = setInterval(sendAll, SEND_AGAIN_MS);
    window.addEventListener("online", sendAll);
    return () => {
      clearInterval(timer);
      window.removeEventListener("online", sendAll);
    };
  }, [waiting, user, send]);

  useEffect(() => {
    if (state.phase !== "empty" && state.phase !== "offline") return;
    const look = (): void => {
      void load();
      void queries.invalidateQueries({ queryKey: ["progress", slug] });
    };
    const timer = setInterval(look, LOOK_AGAIN_MS);
    window.addEventListener("online", look);
    return () => {
      clearInterval(timer);
      window.removeEventListener("online", look);
    };
  }, [state.phase, load, queries, slug]);

  useEffect(() => {
    if (state.lease === null) return;
    const { id, expires_at } = state.lease;
    const timer = setInterval(
      () => {
        renewLease(id).catch((error: unknown) => {
          if (error instanceof ApiError && error.status === 409) setNotice(messageOf(error));
        });
      },
      Math.max(10_000, (new Date(expires_at).getTime() - Date.now()) / 2),
    );
    return () => { clearInterval(timer); };
  }, [state.lease]);

  const lookAgain = useCallback(() => {
    show(null, "loading");
    void load();
  }, [show, load]);
  const dismiss = useCallback(() => { setNotice(null); }, []);
  return { ...state, ...dealt, notice, waiting, unsent, last, submit, skip, lookAgain, dismiss };
}

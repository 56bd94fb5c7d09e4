import { useCallback, useEffect, useRef, useState } from "react";
import type { DraftBody } from "../api/leases";
import { DraftKeeper, draftOnDevice, type DraftPlace, type SaveState } from "./drafts";

/** The draft to begin with: what this device has and the server has not seen, else what the server holds. */
export function firstDraft(place: DraftPlace, onServer: DraftBody | null): DraftBody | null {
  return draftOnDevice(place.key) ?? onServer;
}

/** Keeps a draft while it is worked on; `end` when it was submitted or given up. */
export function useDraft(place: DraftPlace, savedAt: string | null): { state: SaveState; change: (body: DraftBody) => void; end: () => void } {
  const [state, setState] = useState<SaveState>(() => (savedAt === null ? { type: "untouched" } : { type: "saved", at: new Date(savedAt) }));
  const keeper = useRef<DraftKeeper | null>(null);
  const [kept] = useState(place);
  useEffect(() => {
    const own = new DraftKeeper(kept, setState);
    keeper.current = own;
    const unsent = draftOnDevice(kept.key);
    if (unsent !== null) own.change(unsent);
    const leave = (): void => { own.leave(); };
    window.addEventListener("pagehide", leave);
    return () => {
      window.removeEventListener("pagehide", leave);
      own.stop();
    };
  }, [kept]);
  const change = useCallback((body: DraftBody) => keeper.current?.change(body), []);
  const end = useCallback(() => keeper.current?.end(), []);
  return { state, change, end };
}

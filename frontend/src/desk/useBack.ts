import { useCallback } from "react";
import { useNavigate } from "react-router";
import { messageOf } from "../api/client";
import type { TaskKind } from "../api/leases";
import { latestSubmission } from "../api/submissions";
import { useShortcuts } from "../keys/shortcuts";
import { useToasts } from "../look/toasts";

const PAGES: Record<TaskKind, string> = { ranking: "rank", demonstration: "demonstrate" };

/** Where something submitted is opened again. */
export function pageOf(slug: string, kind: TaskKind, lease = ""): string {
  return `/p/${slug}/${PAGES[kind]}${lease && `/${lease}`}`;
}

/** Back to what was submitted last: in this sitting if anything was, else ever. */
export function useBack(slug: string, kind: TaskKind, last: string | null): () => void {
  const navigate = useNavigate();
  const { say } = useToasts();
  const back = useCallback(() => {
    const go = async (): Promise<void> => {
      const lease = last ?? (await latestSubmission(slug, kind));
      if (lease === null) say("You have submitted nothing here yet.");
      else await navigate(pageOf(slug, kind, lease));
    };
    go().catch((error: unknown) => { say(messageOf(error)); });
  }, [slug, kind, last, navigate, say]);
  useShortcuts("What you submitted", [{ keys: "Backspace", shown: ["⌫"], does: "Back to what you submitted last", run: back }]);
  return back;
}

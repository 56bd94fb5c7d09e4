import { type ReactNode, useEffect } from "react";
import { Spoken } from "../look/states";
import { DeskFrame } from "./DeskFrame";
import { DeskState } from "./DeskState";
import type { Desk } from "./useDesk";

interface Props {
  title: string;
  slug: string;
  desk: Desk;
  /** What to say when nothing is open. */
  none: string;
  wide?: boolean;
  children: (openGuidelines: () => void) => ReactNode;
}

/** What became of the task before, and what is on the desk now, for those who do not see it change. */
function spoken({ did, phase }: Desk): string {
  if (did === null) return "";
  if (phase === "working") return `${did} The next task is here.`;
  return phase === "empty" ? `${did} No task is open.` : did;
}

/** The next task begins at its beginning: in sight, and under the keyboard unless it has a field that is. */
function useFreshStart({ turn, lease }: Desk): void {
  const id = lease?.id;
  useEffect(() => {
    if (turn === 0) return;
    window.scrollTo(0, 0);
    if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
  }, [turn, id]);
}

/** An annotator's page: the task, and what may have become of it. */
export function DeskPage({ title, slug, desk, none, wide = false, children }: Props) {
  useFreshStart(desk);
  return (
    <DeskFrame title={title} slug={slug} wide={wide} under={desk.lease?.guidelines_version ?? null} {...(desk.phase === "empty" && { tab: "No tasks open" })}>
      {(openGuidelines) => (
        <>
          <p aria-live="polite">
            <Spoken>
              {spoken(desk)}
              {desk.turn % 2 === 1 ? "\u00a0" : ""}
            </Spoken>
          </p>
          <DeskState desk={desk} slug={slug} none={none} />
          {children(openGuidelines)}
        </>
      )}
    </DeskFrame>
  );
}

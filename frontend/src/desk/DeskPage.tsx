import type { ReactNode } from "react";
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

/** An annotator's page: the task, and what may have become of it. */
export function DeskPage({ title, slug, desk, none, wide = false, children }: Props) {
  return (
    <DeskFrame title={title} slug={slug} wide={wide} {...(desk.phase === "empty" && { tab: "No tasks open" })}>
      {(openGuidelines) => (
        <>
          <DeskState desk={desk} none={none} />
          {children(openGuidelines)}
        </>
      )}
    </DeskFrame>
  );
}

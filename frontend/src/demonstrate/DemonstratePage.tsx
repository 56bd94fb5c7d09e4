import { useMyProgress } from "../api/progress";
import { useSlug } from "../api/project";
import { useSession } from "../api/session";
import { DeskPage } from "../desk/DeskPage";
import { inHand } from "../desk/paper";
import { useBack } from "../desk/useBack";
import { useDesk } from "../desk/useDesk";
import { Editor } from "./Editor";

const NONE = "Every prompt that wants a demonstration has one, or is in someone else's hands. More appear when someone asks for them.";

/** Demonstrate: write the ideal response to one prompt after the other. */
export function DemonstratePage() {
  const slug = useSlug();
  const user = useSession().data?.user.id ?? 0;
  const desk = useDesk(slug, "demonstration", user);
  const progress = useMyProgress(slug);
  const back = useBack(slug, "demonstration", desk.last);
  const { lease } = desk;
  return (
    <DeskPage title="Demonstrate" slug={slug} desk={desk} none={NONE}>
      {(openGuidelines) =>
        lease !== null && (
          <Editor
            key={lease.id}
            paper={inHand(lease)}
            today={progress.data?.today.demonstrations ?? null}
            waiting={desk.waiting}
            unsent={desk.unsent}
            onSubmit={(body) => { desk.submit({ lease: lease.id, kind: "demonstration", body }); }}
            onSkip={desk.skip}
            onGuidelines={openGuidelines}
            onBack={back}
          />
        )
      }
    </DeskPage>
  );
}

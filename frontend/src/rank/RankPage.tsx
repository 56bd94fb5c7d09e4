import { useMyProgress } from "../api/progress";
import { useProject, useSlug } from "../api/project";
import { useSession } from "../api/session";
import { useStanding } from "../api/standing";
import { DeskPage } from "../desk/DeskPage";
import { inHand } from "../desk/paper";
import { useBack } from "../desk/useBack";
import { useDesk } from "../desk/useDesk";
import { useOpened } from "../desk/useOpened";
import { Note } from "../look/states";
import { nothingToRank } from "../look/words";
import { RankTask } from "./RankTask";

const NONE = "Every set of responses is ranked, or in someone else's hands. More appear when a policy has written new ones.";

/** Rank: one task after the other, the next one at hand. */
export function RankPage() {
  const slug = useSlug();
  const user = useSession().data?.user.id ?? 0;
  const desk = useDesk(slug, "ranking", user);
  const project = useProject(slug);
  const progress = useMyProgress(slug);
  const first = useStanding(slug).data?.first_tasks ?? null;
  const back = useBack(slug, "ranking", desk.last);
  useOpened(desk, progress.data?.open.ranking ?? 0);
  const { lease } = desk;
  return (
    <DeskPage title="Rank" slug={slug} desk={desk} none={nothingToRank(progress.data?.being_written, NONE)} wide>
      {(openGuidelines) =>
        lease !== null && (
          <>
            {first !== null && !first.failed && (
              <Note>
                First tasks: {first.done} of {first.needed} done. They show that you know the guidelines; the real work comes after them.
              </Note>
            )}
            <RankTask
              key={lease.id}
              paper={inHand(lease)}
              labels={project.data?.settings.label_set ?? { response_flags: [], task_flags: [] }}
              today={progress.data?.today ?? null}
              waiting={desk.waiting}
              unsent={desk.unsent}
              onSubmit={(body) => { desk.submit({ lease: lease.id, kind: "ranking", body }); }}
              onSkip={desk.skip}
              onGuidelines={openGuidelines}
              onBack={back}
            />
          </>
        )
      }
    </DeskPage>
  );
}

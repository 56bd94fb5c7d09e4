import { useProject, useSlug } from "../api/project";
import type { Submission, Word } from "../api/submissions";
import { ChangePage } from "../desk/ChangePage";
import { asDraft, fromDraft } from "./board";
import { RankTask } from "./RankTask";
import { inShort } from "./words";

/** A ranking that was submitted, on the same board. */
export function ChangeRankingPage() {
  const project = useProject(useSlug());
  return (
    <ChangePage kind="ranking" title="Change a ranking" wide asDraft={asDraft} tell={tell}>
      {({ submission, paper, send, leave, back, openGuidelines }) => (
        <RankTask
          paper={paper}
          labels={project.data?.settings.label_set ?? { response_flags: [], task_flags: [] }}
          today={null}
          waiting={0}
          unsent={0}
          onSubmit={(body) => { send({ lease: submission.lease, kind: "ranking", body }); }}
          onLeave={leave}
          onGuidelines={openGuidelines}
          onBack={back}
        />
      )}
    </ChangePage>
  );
}

function tell(word: Word, submission: Submission): string {
  const board = fromDraft(submission.task.responses.map((each) => each.id), asDraft(word));
  return inShort(board);
}

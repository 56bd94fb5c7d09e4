import type { Word } from "../api/submissions";
import { ChangePage } from "../desk/ChangePage";
import { Markdown } from "../look/Markdown";
import { Editor } from "./Editor";

/** A demonstration that was submitted, in the same editor. */
export function ChangeDemonstrationPage() {
  return (
    <ChangePage kind="demonstration" title="Change a demonstration" asDraft={asDraft} tell={(word) => <Markdown text={word.text} />}>
      {({ submission, paper, send, leave, back, openGuidelines }) => (
        <Editor
          paper={paper}
          today={null}
          waiting={0}
          unsent={0}
          onSubmit={(body) => { send({ lease: submission.lease, kind: "demonstration", body }); }}
          onLeave={leave}
          onGuidelines={openGuidelines}
          onBack={back}
        />
      )}
    </ChangePage>
  );
}

function asDraft(word: Word): Record<string, unknown> {
  return { text: word.text, started_from: word.started_from, seconds: word.seconds_spent ?? 0 };
}

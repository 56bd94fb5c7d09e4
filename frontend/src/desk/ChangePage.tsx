import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useCallback, useMemo, useState } from "react";
import { useNavigate, useParams } from "react-router";
import { ApiError, messageOf, newId } from "../api/client";
import type { DraftBody, TaskKind } from "../api/leases";
import { useSlug } from "../api/project";
import { useSession } from "../api/session";
import { discardDraftOfChange, type Submission, useSubmission, type Word } from "../api/submissions";
import { useShortcuts } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { ErrorNote, Note, Skeleton } from "../look/states";
import { useToasts } from "../look/toasts";
import { DeskFrame } from "./DeskFrame";
import { forgetDraft } from "./drafts";
import { Earlier } from "./Earlier";
import { deliver, type Parcel, post } from "./outbox";
import { type Paper, submitted } from "./paper";
import { pageOf } from "./useBack";

interface Changing {
  submission: Submission;
  paper: Paper;
  send: (parcel: Parcel) => void;
  /** Leave what was submitted as it is; what was changed so far can be taken up again for ten seconds. */
  leave: (changed: boolean) => void;
  back: (() => void) | undefined;
  openGuidelines: () => void;
}

interface Props {
  kind: TaskKind;
  title: string;
  wide?: boolean;
  /** A word as a draft would say it. */
  asDraft: (word: Word) => DraftBody;
  /** A word for reading, beside those that came after it. */
  tell: (word: Word, submission: Submission) => ReactNode;
  children: (changing: Changing) => ReactNode;
}

/** Something submitted, open again: the task as it was seen, what was said, and every earlier word. */
export function ChangePage({ kind, title, wide = false, asDraft, tell, children }: Props) {
  const slug = useSlug();
  const lease = useParams()["lease"] ?? "";
  const submission = useSubmission(lease);
  return (
    <DeskFrame title={title} slug={slug} wide={wide}>
      {(openGuidelines) => (
        <>
          {submission.isPending && <Skeleton lines={1} blocks={2} />}
          {submission.isError && <ErrorNote error={submission.error} safe="What you submitted is safe." onRetry={() => void submission.refetch()} />}
          {submission.data && (
            <Opened
              key={`${lease} ${String(submission.data.word.id)}`}
              kind={kind}
              submission={submission.data}
              asDraft={asDraft}
              tell={tell}
              openGuidelines={openGuidelines}
              onAgain={() => void submission.refetch()}
            >
              {children}
            </Opened>
          )}
        </>
      )}
    </DeskFrame>
  );
}

interface OpenedProps extends Pick<Props, "kind" | "asDraft" | "tell" | "children"> {
  submission: Submission;
  openGuidelines: () => void;
  onAgain: () => void;
}

function Opened({ kind, submission, asDraft, tell, openGuidelines, onAgain, children }: OpenedProps) {
  const slug = useSlug();
  const user = useSession().data?.user.id ?? 0;
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { say, later } = useToasts();
  const [refusal, setRefusal] = useState<ApiError | null>(null);
  const [paper] = useState(() => submitted(submission, asDraft(submission.word)));
  const [edit] = useState(newId);
  const { lease, word, before } = submission;
  const desk = pageOf(slug, kind);

  const send = useCallback(
    (said: Parcel) => {
      const parcel: Parcel = { ...said, change: { edit, replaces: word.id } };
      post(user, parcel);
      const go = async (): Promise<void> => {
        const delivery = await deliver(user, parcel);
        if (delivery.type === "refused") {
          setRefusal(delivery.error);
          return;
        }
        say(delivery.type === "sent" ? "Changed. What you said before is kept." : "Offline: your change is kept on this device and sent later, once.");
        void queries.invalidateQueries({ queryKey: ["history", slug] });
        void queries.invalidateQueries({ queryKey: ["returned", slug] });
        await navigate(desk);
      };
      go().catch((error: unknown) => { say(messageOf(error)); });
    },
    [user, edit, word.id, slug, desk, queries, navigate, say],
  );
  const leave = useCallback(
    (changed: boolean) => {
      if (changed) {
        const forget = (): void => {
          forgetDraft(paper.place.key);
          discardDraftOfChange(lease).catch(() => undefined);
        };
        later("Left as it was.", forget, () => void navigate(pageOf(slug, kind, lease)));
      }
      void navigate(desk);
    },
    [paper, lease, later, navigate, slug, kind, desk],
  );
  const back = useMemo(() => (before === null ? undefined : () => void navigate(pageOf(slug, kind, before))), [before, navigate, slug, kind]);
  useShortcuts("Change", back === undefined ? [] : [{ keys: "Backspace", shown: ["⌫"], does: "Back to what you submitted before this", run: back }]);
  return (
    <>
      {refusal !== null && (
        <Note action={refusal.code === "changed_meanwhile" ? <Button small onClick={onAgain}>Open it again</Button> : undefined}>{refusal.message}</Note>
      )}
      <Earlier submission={submission} tell={tell} />
      {children({ submission, paper, send, leave, back, openGuidelines })}
    </>
  );
}

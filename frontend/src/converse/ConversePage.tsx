import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { messageOf } from "../api/client";
import { discardConversation } from "../api/conversations";
import { useMyProgress } from "../api/progress";
import { useSlug } from "../api/project";
import { useSession } from "../api/session";
import { DeskFrame } from "../desk/DeskFrame";
import { isRule, Refused } from "../desk/DeskState";
import { forgetDraft } from "../desk/drafts";
import { deliver, type Parcel, post } from "../desk/outbox";
import { useBack } from "../desk/useBack";
import { ErrorNote, Skeleton } from "../look/states";
import { useToasts } from "../look/toasts";
import { Sheet } from "./Sheet";
import { type Begun, useBegun } from "./useBegun";

/** Converse: play both sides, the user and the ideal assistant, and make a demonstration from nothing. */
export function ConversePage() {
  const slug = useSlug();
  const user = useSession().data?.user.id ?? 0;
  const queries = useQueryClient();
  const progress = useMyProgress(slug);
  const { say, later } = useToasts();
  const { state, lay, retry } = useBegun(slug, user);
  const [last, setLast] = useState<string | null>(null);
  const back = useBack(slug, "demonstration", last);

  const submit = (parcel: Parcel): void => {
    post(user, parcel);
    setLast(parcel.lease);
    lay();
    const send = async (): Promise<void> => {
      const delivery = await deliver(user, parcel);
      if (delivery.type === "sent") say("Submitted as a demonstration.");
      else if (delivery.type === "refused") say(delivery.error.message);
      else say(`${delivery.error.isOffline ? "Offline." : delivery.error.message} Your conversation is kept on this device and sent later, once.`);
      await queries.invalidateQueries({ queryKey: ["progress", slug] });
      await queries.invalidateQueries({ queryKey: ["history", slug] });
    };
    send().catch((error: unknown) => { say(messageOf(error)); });
  };
  const throwAway = (begun: Begun): void => {
    const forget = (): void => {
      forgetDraft(begun.id);
      discardConversation(slug, begun.id).catch(() => undefined);
    };
    lay();
    later("The conversation was thrown away.", forget, () => { lay(begun); });
  };

  return (
    <DeskFrame title="Converse" slug={slug}>
      {(openGuidelines) => (
        <>
          {state.type === "loading" && <Skeleton lines={1} blocks={2} />}
          {state.type === "failed" && isRule(state.error) && <Refused error={state.error} slug={slug} />}
          {state.type === "failed" && !isRule(state.error) && <ErrorNote error={state.error} safe="What you wrote is safe." onRetry={retry} />}
          {state.type === "here" && (
            <Sheet
              key={state.begun.id}
              slug={slug}
              begun={state.begun}
              today={progress.data?.today.demonstrations ?? null}
              onSubmit={(body) => { submit({ lease: state.begun.id, kind: "conversation", slug, body }); }}
              onThrowAway={throwAway}
              onGuidelines={openGuidelines}
              onBack={back}
            />
          )}
        </>
      )}
    </DeskFrame>
  );
}

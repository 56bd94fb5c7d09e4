import { type Sampling, useAskForDemonstration, useAskForRanking } from "../api/chat";
import type { Message } from "../api/shapes";
import { Button } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { ErrorNote, Quiet } from "../look/states";
import { useToasts } from "../look/toasts";
import styles from "./Chat.module.css";

interface Props {
  slug: string;
  model: string;
  name: string;
  messages: Message[];
  sampling: Sampling;
  onAsked: (what: "demonstration" | "ranking") => void;
  onClose: () => void;
}

/** Send a conversation to the labeling queue: people write the ideal reply to it, or rank several of a model's. */
export function AskPeople({ slug, model, name, messages, sampling, onAsked, onClose }: Props) {
  const toasts = useToasts();
  const demonstration = useAskForDemonstration(slug);
  const ranking = useAskForRanking(slug);
  const busy = demonstration.isPending || ranking.isPending;
  const done = (what: "demonstration" | "ranking", text: string): void => {
    onAsked(what);
    toasts.say(text);
    onClose();
  };
  const askToWrite = (): void => {
    demonstration.mutate(messages, {
      onSuccess: ({ opened }) => {
        done("demonstration", opened ? "In the queue: someone will write the ideal reply." : "It was in the queue already: the same conversation is asked once.");
      },
    });
  };
  const askToRank = (): void => {
    ranking.mutate(
      { model, messages, sampling, take: false },
      { onSuccess: () => { done("ranking", "In the queue: people will rank the replies, without knowing who wrote them."); } },
    );
  };
  const earlier = messages.length - 1;
  const error = demonstration.error ?? ranking.error;
  return (
    <Dialog title="Send to labeling" onClose={onClose}>
      <blockquote className={styles["quote"]} dir="auto">
        {messages.at(-1)?.content}
      </blockquote>
      {earlier > 0 && <Quiet>{earlier === 1 ? "One turn before it goes along." : `The ${String(earlier)} turns before it go along.`}</Quiet>}
      <div className={styles["ways"]}>
        <Button disabled={busy} onClick={askToWrite}>
          Ask for a demonstration
        </Button>
        <Quiet>Someone writes the ideal reply.</Quiet>
        <Button disabled={busy} onClick={askToRank}>
          {ranking.isPending ? "Writing replies…" : "Ask for a ranking"}
        </Button>
        <Quiet>People rank several replies by {name}.</Quiet>
      </div>
      {error !== null && <ErrorNote error={error} safe="Nothing was sent." />}
    </Dialog>
  );
}

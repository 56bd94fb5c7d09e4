import type { Message } from "../api/shapes";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { Markdown } from "../look/Markdown";
import styles from "./Conversation.module.css";

const NAMES: Record<string, string> = { system: "Instructions", user: "User", assistant: "Assistant" };

/** The prompt: the conversation so far, in full. A single turn stands alone under the word Prompt. */
export function Conversation({ messages, onReport }: { messages: readonly Message[]; onReport?: (() => void) | undefined }) {
  const single = messages.length === 1;
  return (
    // Long conversations scroll inside, and must be reachable by keyboard to do so.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <section className={styles["prompt"]} aria-label="Prompt" tabIndex={0}>
      {onReport !== undefined && (
        <Button look="quiet" small className={styles["report"]} onClick={onReport}>
          Report{" "}
          <span className={styles["key"]}>
            <Kbd>R</Kbd>
          </span>
        </Button>
      )}
      {messages.map((message, index) => (
        <div key={`${String(index)} ${message.role}`} className={styles["turn"]} data-role={message.role}>
          <b>{single ? "Prompt" : (NAMES[message.role] ?? message.role)}</b>
          <Markdown text={message.content} className={styles["words"]} />
        </div>
      ))}
      {messages.length === 0 && <p>This task has no prompt: judge the texts by themselves.</p>}
    </section>
  );
}

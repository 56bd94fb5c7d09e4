import type { KeyboardEvent, Ref, SubmitEvent } from "react";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import styles from "./Chat.module.css";

interface Props {
  ref: Ref<HTMLTextAreaElement>;
  text: string;
  onText: (text: string) => void;
  onSend: () => void;
  onStop: () => void;
  writing: boolean;
  /** The last turn has no reply yet. */
  blocked: boolean;
}

/** Where one says the next thing: Enter sends, Shift and Enter make a new line, Escape stops the reply. */
export function Composer({ ref, text, onText, onSend, onStop, writing, blocked }: Props) {
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape" && writing) {
      event.preventDefault();
      onStop();
    } else if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      onSend();
    }
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    onSend();
  };
  const ready = text.trim() !== "" && !blocked;
  return (
    <form className={styles["composer"]} onSubmit={submit}>
      <textarea
        ref={ref}
        rows={1}
        aria-label="Message"
        placeholder={blocked ? "The turn above wants a reply first" : "Say something"}
        maxLength={20_000}
        value={text}
        onChange={(event) => { onText(event.target.value); }}
        onKeyDown={onKeyDown}
      />
      {writing ? (
        <Button onClick={onStop}>
          Stop{" "}
          <span className={styles["key"]}>
            <Kbd>Esc</Kbd>
          </span>
        </Button>
      ) : (
        <Button look="go" type="submit" disabled={!ready}>
          Send{" "}
          <span className={styles["key"]}>
            <Kbd>⏎</Kbd>
          </span>
        </Button>
      )}
    </form>
  );
}

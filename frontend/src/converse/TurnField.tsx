import { type KeyboardEvent, useEffect, useRef } from "react";
import { Markdown } from "../look/Markdown";
import { countWords } from "../look/words";
import styles from "./Sheet.module.css";
import { NAMES, nameOf, type Turns } from "./turns";

interface Props {
  turns: Turns;
  place: number;
  preview: boolean;
  focused: boolean;
  onWrite: (content: string) => void;
  onFocus: () => void;
  onPassOn: () => void;
}

/** One turn, to be written or to be read as it will look. */
export function TurnField({ turns, place, preview, focused, onWrite, onFocus, onPassOn }: Props) {
  const { role, content } = turns[place] ?? { role: "user", content: "" };
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (focused && !preview) field.current?.focus();
  }, [focused, preview]);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") {
      event.preventDefault();
      field.current?.blur();
    } else if (event.key === "Enter" && event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      onPassOn();
    }
  };
  const words = countWords(content);
  return (
    <li className={styles["turn"]} data-role={role}>
      <div className={styles["who"]}>
        <label htmlFor={`turn-${String(place)}`}>{NAMES[role]}</label>
        <span>
          {words} {words === 1 ? "word" : "words"}
        </span>
      </div>
      {preview ? (
        <Markdown text={content} />
      ) : (
        <textarea
          id={`turn-${String(place)}`}
          ref={field}
          className={styles["text"]}
          dir="auto"
          maxLength={100_000}
          aria-label={nameOf(turns, place)}
          value={content}
          placeholder={role === "user" ? "What someone asks or says." : "What the assistant should say. Markdown works."}
          onChange={(event) => { onWrite(event.target.value); }}
          onFocus={onFocus}
          onKeyDown={onKeyDown}
        />
      )}
    </li>
  );
}

import { type KeyboardEvent, type ReactNode, type RefObject, useEffect, useId, useRef } from "react";
import { Button } from "./Button";
import { cx } from "./cx";
import styles from "./Dialog.module.css";

interface Props {
  title: string;
  onClose: () => void;
  onKeyDown?: (event: KeyboardEvent<HTMLDialogElement>) => void;
  /** What has the focus first; its first control if left out. */
  first?: RefObject<HTMLElement | null>;
  wide?: boolean;
  children: ReactNode;
}

/** A modal dialog: focus stays inside, Escape and a click beside it close it, focus returns to where it was. */
export function Dialog({ title, onClose, onKeyDown, first, wide = false, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const name = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    first?.current?.focus({ preventScroll: true });
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, [first]);
  return (
    // A click on the backdrop closes the dialog; Escape does the same from the keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <dialog
      ref={dialog}
      className={cx(styles["dialog"], wide && styles["wide"])}
      aria-labelledby={name}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) onClose();
      }}
      onKeyDown={onKeyDown}
    >
      <div className={styles["head"]}>
        <h2 id={name}>{title}</h2>
        <Button look="quiet" small onClick={onClose}>
          Close
        </Button>
      </div>
      <div className={styles["body"]}>{children}</div>
    </dialog>
  );
}

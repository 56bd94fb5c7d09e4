import { type KeyboardEvent, type SubmitEvent, useState } from "react";
import { isWriting } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { Field } from "../look/Field";
import { Kbd } from "../look/Kbd";
import styles from "./ReasonDialog.module.css";

interface Props {
  title: string;
  about?: string;
  reasons: readonly string[];
  /** What the button beside one's own words says. */
  act: string;
  longest: number;
  onReason: (index: number) => void;
  onOwn: (words: string) => void;
  onClose: () => void;
}

/** Why: one key for a reason that is common, or words of one's own. */
export function ReasonDialog({ title, about, reasons, act, longest, onReason, onOwn, onClose }: Props) {
  const [own, setOwn] = useState("");
  const byKey = (event: KeyboardEvent): void => {
    const index = Number(event.key) - 1;
    if (isWriting(event.target) || event.ctrlKey || event.metaKey || event.altKey || reasons[index] === undefined) return;
    event.preventDefault();
    onReason(index);
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (own.trim() !== "") onOwn(own.trim());
  };
  return (
    <Dialog title={title} onClose={onClose} onKeyDown={byKey}>
      {about !== undefined && <p className={styles["about"]}>{about}</p>}
      <ul className={styles["reasons"]}>
        {reasons.map((reason, index) => (
          <li key={reason}>
            <Button className={styles["reason"]} onClick={() => { onReason(index); }}>
              <Kbd>{index + 1}</Kbd> {reason}
            </Button>
          </li>
        ))}
      </ul>
      <form className={styles["own"]} onSubmit={submit}>
        <Field label="Another reason">
          {(wiring) => <input {...wiring} dir="auto" maxLength={longest} value={own} onChange={(event) => { setOwn(event.target.value); }} />}
        </Field>
        <Button type="submit" disabled={own.trim() === ""}>
          {act}
        </Button>
      </form>
    </Dialog>
  );
}

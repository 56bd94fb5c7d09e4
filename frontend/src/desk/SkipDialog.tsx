import { type SubmitEvent, type KeyboardEvent, useState } from "react";
import { isWriting } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { Field } from "../look/Field";
import { Kbd } from "../look/Kbd";
import styles from "./SkipDialog.module.css";

const REASONS = ["The prompt is unclear", "I know too little about this", "It holds personal data", "It is upsetting", "Something looks broken"];

/** Skip with a reason: one key, or words of one's own. */
export function SkipDialog({ onSkip, onClose }: { onSkip: (reason: string) => void; onClose: () => void }) {
  const [own, setOwn] = useState("");
  const byKey = (event: KeyboardEvent): void => {
    const reason = REASONS[Number(event.key) - 1];
    if (isWriting(event.target) || reason === undefined) return;
    event.preventDefault();
    onSkip(reason);
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (own.trim() !== "") onSkip(own.trim());
  };
  return (
    <Dialog title="Why skip this task?" onClose={onClose} onKeyDown={byKey}>
      <ul className={styles["reasons"]}>
        {REASONS.map((reason, index) => (
          <li key={reason}>
            <Button className={styles["reason"]} onClick={() => { onSkip(reason); }}>
              <Kbd>{index + 1}</Kbd> {reason}
            </Button>
          </li>
        ))}
      </ul>
      <form className={styles["own"]} onSubmit={submit}>
        <Field label="Another reason">
          {(wiring) => <input {...wiring} maxLength={500} value={own} onChange={(event) => { setOwn(event.target.value); }} />}
        </Field>
        <Button type="submit" disabled={own.trim() === ""}>
          Skip
        </Button>
      </form>
    </Dialog>
  );
}

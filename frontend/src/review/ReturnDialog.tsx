import { type SubmitEvent, useState } from "react";
import { Button } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { Field } from "../look/Field";
import { ErrorNote } from "../look/states";
import styles from "./Review.module.css";

interface Props {
  name: string;
  pending: boolean;
  error: unknown;
  onClose: () => void;
  onReturn: (comment: string) => void;
}

/** Why a word goes back: its annotator reads it beside the task. */
export function ReturnDialog({ name, pending, error, onClose, onReturn }: Props) {
  const [comment, setComment] = useState("");
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    onReturn(comment.trim());
  };
  return (
    <Dialog title={`Return to ${name}`} onClose={onClose}>
      <form className={styles["stack"]} onSubmit={submit}>
        <Field label="What should be looked at again?" hint="The annotator reads it beside the task. Until they change their word, it enters no dataset.">
          {(wiring) => (
            // eslint-disable-next-line jsx-a11y/no-autofocus
            <textarea {...wiring} rows={4} dir="auto" required maxLength={10_000} autoFocus value={comment} onChange={(event) => { setComment(event.target.value); }} />
          )}
        </Field>
        {error !== null && <ErrorNote error={error} safe="Nothing was returned." />}
        <div>
          <Button type="submit" look="go" disabled={pending || comment.trim() === ""}>
            {pending ? "Returning…" : "Return it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

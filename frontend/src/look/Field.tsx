import { type ReactNode, useId } from "react";
import { cx } from "./cx";
import styles from "./forms.module.css";
import { sentence } from "./sentence";

interface Wiring {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby": string | undefined;
}

interface Props {
  label: string;
  hint?: ReactNode;
  wrong?: string | undefined;
  className?: string;
  children: (wiring: Wiring) => ReactNode;
}

/** A labelled control with its words beside it and what is wrong with it under it. */
export function Field({ label, hint, wrong, className, children }: Props) {
  const id = useId();
  const described = [hint !== undefined && `${id}-hint`, wrong !== undefined && `${id}-wrong`].filter(Boolean).join(" ");
  return (
    <div className={cx(styles["field"], className)}>
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-invalid": wrong !== undefined, "aria-describedby": described || undefined })}
      {wrong !== undefined && (
        <p id={`${id}-wrong`} className={styles["wrong"]}>
          {sentence(wrong)}
        </p>
      )}
      {hint !== undefined && (
        <p id={`${id}-hint`} className={styles["hint"]}>
          {hint}
        </p>
      )}
    </div>
  );
}

import type { JobKind } from "../api/shapes";
import styles from "./KindPicker.module.css";

/** Which kind of job. */
export function KindPicker({ kinds, chosen, onChoose }: { kinds: readonly JobKind[]; chosen: string; onChoose: (kind: string) => void }) {
  return (
    <fieldset className={styles["set"]}>
      <legend>What should happen?</legend>
      <div className={styles["kinds"]}>
        {kinds.map((kind) => (
          <label key={kind.kind} className={styles["kind"]}>
            <input type="radio" name="kind" checked={kind.kind === chosen} onChange={() => { onChoose(kind.kind); }} />
            <b>{kind.title}</b>
            <span>{kind.description}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

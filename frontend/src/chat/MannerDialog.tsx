import { useId } from "react";
import { Dialog } from "../look/Dialog";
import { Field } from "../look/Field";
import { Quiet } from "../look/states";
import styles from "./Chat.module.css";
import type { Manner } from "./shelf";

interface Props {
  manner: Manner;
  canRank: boolean;
  onChange: (manner: Manner) => void;
  onClose: () => void;
}

const LONGEST = 1024;

/** How replies are written. */
export function MannerDialog({ manner, canRank, onChange, onClose }: Props) {
  const contest = useId();
  return (
    <Dialog title="How replies are written" onClose={onClose}>
      <Field label={`Temperature: ${manner.temperature.toFixed(1)}`} hint="0 says what is likeliest, and the same each time; 1 says it as the model would; 2 is wild.">
        {(wiring) => (
          <input
            {...wiring}
            type="range"
            min={0}
            max={2}
            step={0.1}
            value={manner.temperature}
            onChange={(event) => { onChange({ ...manner, temperature: Number(event.target.value) }); }}
          />
        )}
      </Field>
      <Field label="Longest reply, in tokens" hint={`1 to ${String(LONGEST)}. What was said before and the reply share what the model can read at once.`}>
        {(wiring) => (
          <input
            {...wiring}
            type="number"
            min={1}
            max={LONGEST}
            value={manner.max_tokens}
            onChange={(event) => {
              const value = event.target.valueAsNumber;
              if (value >= 1 && value <= LONGEST) onChange({ ...manner, max_tokens: Math.round(value) });
            }}
          />
        )}
      </Field>
      {canRank && (
        <div className={styles["choice"]}>
          <input
            id={contest}
            type="checkbox"
            checked={manner.contest}
            aria-describedby={`${contest}-hint`}
            onChange={(event) => { onChange({ ...manner, contest: event.target.checked }); }}
          />
          <div>
            <label htmlFor={contest}>Several replies a turn, which I rank</label>
            <p id={`${contest}-hint`}>
              <Quiet>Each turn is a ranking task in your hands; the conversation goes on from the best reply.</Quiet>
            </p>
          </div>
        </div>
      )}
      <Quiet>Kept on this device.</Quiet>
    </Dialog>
  );
}

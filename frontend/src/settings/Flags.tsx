import { useState } from "react";
import type { FlagName } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import { Quiet } from "../look/states";
import styles from "./Settings.module.css";
import { keyFor, type Typed } from "./typed";

interface Props {
  typed: Typed;
  leads: boolean;
  wrong: string | undefined;
  onChange: (news: Partial<Typed>) => void;
}

/** The label set: what annotators can say of a response, and of a whole task. */
export function Flags({ typed, leads, wrong, onChange }: Props) {
  return (
    <Card title="Flags">
      <p className={styles["about"]}>A flag that is taken away can be raised no more; where it was raised, it stays.</p>
      <div className={styles["flags"]}>
        <Some name="Of a response" flags={typed.response_flags} leads={leads} onChange={(flags) => { onChange({ response_flags: flags }); }} />
        <Some name="Of a whole task" flags={typed.task_flags} leads={leads} onChange={(flags) => { onChange({ task_flags: flags }); }} />
      </div>
      {wrong !== undefined && <p className={styles["wrong"]}>{wrong}</p>}
    </Card>
  );
}

function Some({ name, flags, leads, onChange }: { name: string; flags: FlagName[]; leads: boolean; onChange: (flags: FlagName[]) => void }) {
  const [label, setLabel] = useState("");
  const add = (): void => {
    const words = label.trim();
    if (words === "") return;
    const taken = flags.map((flag) => flag.key);
    onChange([...flags, { key: keyFor(words, taken), label: words }]);
    setLabel("");
  };
  return (
    <section aria-label={name}>
      <h3>{name}</h3>
      <ul className={styles["list"]}>
        {flags.map((flag) => (
          <li key={flag.key}>
            <span>{flag.label}</span>
            <code>{flag.key}</code>
            {leads && (
              <Button small look="quiet" aria-label={`Take away: ${flag.label}`} onClick={() => { onChange(flags.filter((each) => each.key !== flag.key)); }}>
                Take away
              </Button>
            )}
          </li>
        ))}
        {flags.length === 0 && (
          <li>
            <Quiet>none</Quiet>
          </li>
        )}
      </ul>
      {leads && (
        <div className={styles["add"]}>
          <Field label={`Another flag ${name.toLowerCase()}`}>
            {(wiring) => (
              <input
                {...wiring}
                maxLength={200}
                value={label}
                onChange={(event) => { setLabel(event.target.value); }}
                onKeyDown={(event) => {
                  if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
                  event.preventDefault();
                  add();
                }}
              />
            )}
          </Field>
          <Button onClick={add} disabled={label.trim() === ""}>
            Add
          </Button>
        </div>
      )}
    </section>
  );
}

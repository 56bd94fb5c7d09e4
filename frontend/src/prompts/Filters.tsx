import type { WantedPrompts } from "../api/prompts";
import { Field } from "../look/Field";
import styles from "./Prompts.module.css";

/** What is looked for. */
export function Filters({ wanted, onChange }: { wanted: WantedPrompts; onChange: (wanted: WantedPrompts) => void }) {
  const set = (news: Partial<WantedPrompts>): void => { onChange({ ...wanted, ...news }); };
  return (
    <search className={styles["filters"]}>
      <Field label="Words">
        {(wiring) => <input {...wiring} type="search" dir="auto" maxLength={200} value={wanted.q} onChange={(event) => { set({ q: event.target.value }); }} />}
      </Field>
      <Field label="Split">
        {(wiring) => (
          <select {...wiring} value={wanted.split} onChange={(event) => { set({ split: event.target.value as WantedPrompts["split"] }); }}>
            <option value="">All</option>
            <option value="train">train</option>
            <option value="valid">valid</option>
            <option value="test">test</option>
          </select>
        )}
      </Field>
      <Field label="Tag">
        {(wiring) => <input {...wiring} type="search" maxLength={100} value={wanted.tag} onChange={(event) => { set({ tag: event.target.value }); }} />}
      </Field>
      <Field label="Source">
        {(wiring) => <input {...wiring} type="search" maxLength={100} value={wanted.source} onChange={(event) => { set({ source: event.target.value }); }} />}
      </Field>
      <Field label="State">
        {(wiring) => (
          <select {...wiring} value={wanted.retired} onChange={(event) => { set({ retired: event.target.value as WantedPrompts["retired"] }); }}>
            <option value="">All</option>
            <option value="false">In use</option>
            <option value="true">Retired</option>
          </select>
        )}
      </Field>
    </search>
  );
}

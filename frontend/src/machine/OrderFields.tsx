import { useState } from "react";
import { useCheckpoints } from "../api/models";
import { useDatasets } from "../api/datasets";
import { isLive, useJobKinds, useJobs } from "../api/jobs";
import type { CheckpointKind, DatasetKind, InputSlot, JobKind, Reference } from "../api/shapes";
import { Button } from "../look/Button";
import { Field } from "../look/Field";
import forms from "../look/forms.module.css";
import { sentence } from "../look/sentence";
import { asText, type Order, type Setting, settingsOf, wrongAt } from "./order";
import styles from "./OrderFields.module.css";
import { useTitles } from "./useTitles";
import { jobName } from "./words";

interface Props {
  slug: string;
  kind: JobKind;
  order: Order;
  wrong: Record<string, unknown>;
  /** Offer the output of the job that fires a schedule. */
  afterJob?: boolean;
  onChange: (order: Order) => void;
}

/** What a job reads, and every setting of it. */
export function OrderFields({ slug, kind, order, wrong, afterJob = false, onChange }: Props) {
  const settings = settingsOf(kind.schema);
  const changed = settings.filter((setting) => isChanged(setting, order.typed)).length;
  const wrongSetting = settings.some((setting) => wrongAt(wrong, setting.path) !== undefined || wrongAt(wrong, lastName(setting)) !== undefined);
  const [open, setOpen] = useState(false);
  return (
    <>
      {kind.inputs.length > 0 && (
        <fieldset className={styles["set"]}>
          <legend>What it reads</legend>
          <div className={forms["grid"]}>
            {kind.inputs.flatMap((slot) => [slot, ...further(slot, order)]).map((slot) => (
              <InputField
                key={slot.name}
                slug={slug}
                slot={slot}
                afterJob={afterJob}
                value={order.inputs[slot.name] ?? ""}
                wrong={wrongAt(wrong, slot.name)}
                onChange={(reference) => { onChange({ ...order, inputs: { ...order.inputs, [slot.name]: reference } }); }}
              />
            ))}
          </div>
          {kind.inputs.filter((slot) => slot.many).map((slot) => (
            <Button key={slot.name} small look="quiet" className={styles["another"]} onClick={() => { onChange(withAnother(slot, order)); }}>
              Another {(NAMES[slot.kind] ?? slot.kind).toLowerCase()}
            </Button>
          ))}
        </fieldset>
      )}
      {settings.length > 0 && (
        <details className={styles["details"]} open={open || wrongSetting} onToggle={(event) => { setOpen(event.currentTarget.open); }}>
          <summary>
            Settings <span>{changed === 0 ? `${String(settings.length)}, all at their defaults` : `${String(changed)} of ${String(settings.length)} changed`}</span>
          </summary>
          <div className={forms["grid"]}>
            {settings.map((setting) => (
              <SettingField
                key={setting.path}
                setting={setting}
                text={order.typed[setting.path] ?? asText(setting.default)}
                wrong={wrongAt(wrong, setting.path) ?? wrongAt(wrong, lastName(setting))}
                onChange={(text) => { onChange({ ...order, typed: { ...order.typed, [setting.path]: text } }); }}
              />
            ))}
          </div>
        </details>
      )}
    </>
  );
}

/** Further inputs of one name: `reward_2`, `reward_3`, … */
function further(slot: InputSlot, order: Order): InputSlot[] {
  if (!slot.many) return [];
  const names = Object.keys(order.inputs).filter((name) => name.startsWith(`${slot.name}_`));
  return names.map((name) => ({ ...slot, name, required: false, default: null }));
}

function withAnother(slot: InputSlot, order: Order): Order {
  const name = `${slot.name}_${String(further(slot, order).length + 2)}`;
  return { ...order, inputs: { ...order.inputs, [name]: "latest" } };
}

function lastName(setting: Setting): string {
  return setting.path.split(".").at(-1) ?? setting.path;
}

function isChanged(setting: Setting, typed: Readonly<Record<string, string>>): boolean {
  const text = typed[setting.path];
  return text !== undefined && text !== asText(setting.default);
}

interface SettingProps {
  setting: Setting;
  text: string;
  wrong: string | undefined;
  onChange: (text: string) => void;
}

function SettingField({ setting, text, wrong, onChange }: SettingProps) {
  const standard = asText(setting.default);
  const isStandard = text === standard;
  const hint = (
    <>
      {setting.words} {setting.limits !== "" && sentence(setting.limits)} {!setting.required && !isStandard && `Default: ${standard === "" ? "none" : standard}.`}
    </>
  );
  return (
    <Field label={setting.title} hint={hint} {...(wrong !== undefined && { wrong })} {...(!isStandard && styles["changed"] !== undefined && { className: styles["changed"] })}>
      {(wiring) => {
        if (setting.type === "choice" || setting.type === "boolean") {
          const choices = setting.type === "boolean" ? ["true", "false"] : setting.choices;
          return (
            <select {...wiring} value={text} onChange={(event) => { onChange(event.target.value); }}>
              {setting.nullable && <option value="">none</option>}
              {choices.map((choice) => (
                <option key={choice} value={choice}>
                  {setting.type === "boolean" ? (choice === "true" ? "yes" : "no") : choice.replaceAll("_", " ")}
                </option>
              ))}
            </select>
          );
        }
        const numeric = setting.type === "integer" || setting.type === "number";
        return (
          <input
            {...wiring}
            inputMode={numeric ? "decimal" : undefined}
            required={setting.required}
            placeholder={setting.nullable ? "none" : standard}
            value={text}
            onChange={(event) => { onChange(event.target.value); }}
          />
        );
      }}
    </Field>
  );
}

interface InputProps {
  slug: string;
  slot: InputSlot;
  afterJob: boolean;
  value: Reference;
  wrong: string | undefined;
  onChange: (reference: Reference) => void;
}

const CHECKPOINTS = ["policy", "reward"];
const SNAPSHOT = "labeling.snapshot";
const NAMES: Record<string, string> = {
  policy: "Policy",
  reward: "Reward model",
  rankings: "Rankings",
  demonstrations: "Demonstrations",
  prompts: "Prompts",
  text: "Text",
  samples: "Samples",
  rewards: "Scored responses",
};

interface Option {
  reference: Reference;
  name: string;
}

function InputField({ slug, slot, afterJob, value, wrong, onChange }: InputProps) {
  const isModel = CHECKPOINTS.includes(slot.kind);
  const named = useNamed(slug, slot, isModel);
  const outputs = useOutputs(slug, slot);
  const inSnapshots = useJobKinds().data?.find((each) => each.kind === SNAPSHOT)?.makes.includes(slot.kind) ?? false;
  const newest = named[0]?.name;
  const usual: Option[] = [
    ...(slot.required && slot.default !== null ? [] : [{ reference: "", name: slot.required ? "Choose…" : "None" }]),
    ...(isModel ? [{ reference: "champion", name: "The champion" }, { reference: "previous", name: "The champion before" }] : []),
    ...(inSnapshots ? [{ reference: "snapshot", name: "A snapshot, taken when it starts" }] : []),
    { reference: "latest", name: newest === undefined ? "The newest (none yet)" : `The newest (now ${newest})` },
    ...(afterJob ? [{ reference: { trigger: true as const }, name: "The output of the job that fires this" }] : []),
  ];
  const all = [...usual, ...named, ...outputs];
  const current = JSON.stringify(value);
  const isKnown = all.some((option) => JSON.stringify(option.reference) === current);
  return (
    <Field
      label={`${NAMES[slot.kind] ?? slot.kind}${slot.name === slot.kind ? "" : ` (${slot.name})`}`}
      hint={slot.required ? undefined : "Optional."}
      wrong={wrong}
    >
      {(wiring) => (
        <select {...wiring} value={current} onChange={(event) => { onChange(JSON.parse(event.target.value) as Reference); }}>
          {usual.map(asOption)}
          {!isKnown && asOption({ reference: value, name: typeof value === "string" ? value : JSON.stringify(value) })}
          {named.length > 0 && <optgroup label="By name">{named.map(asOption)}</optgroup>}
          {outputs.length > 0 && <optgroup label="Output of a job that is not over">{outputs.map(asOption)}</optgroup>}
        </select>
      )}
    </Field>
  );
}

function asOption({ reference, name }: Option) {
  return (
    <option key={JSON.stringify(reference)} value={JSON.stringify(reference)}>
      {name}
    </option>
  );
}

/** Checkpoints or datasets of the slot's kind that can be named. */
function useNamed(slug: string, slot: InputSlot, isModel: boolean): Option[] {
  const checkpoints = useCheckpoints(slug, isModel ? (slot.kind as CheckpointKind) : undefined);
  const datasets = useDatasets(slug, isModel ? undefined : (slot.kind as DatasetKind));
  if (isModel) {
    return (checkpoints.data?.pages ?? []).flatMap((page) =>
      page.results.map((each) => ({ reference: each.digest, name: each.is_champion ? `${each.name} ★` : each.name })),
    );
  }
  return (datasets.data?.pages ?? []).flatMap((page) =>
    page.results.map((each) => ({ reference: each.digest, name: `${each.name} v${String(each.version)}, ${each.count.toLocaleString()} lines` })),
  );
}

/** Jobs that are still to make what the slot wants. */
function useOutputs(slug: string, slot: InputSlot): Option[] {
  const jobs = useJobs(slug);
  const titles = useTitles();
  return (jobs.data?.pages ?? [])
    .flatMap((page) => page.results)
    .filter((job) => job.makes === slot.kind && isLive(job))
    .map((job) => ({ reference: { job: job.id }, name: jobName(job, titles) }));
}

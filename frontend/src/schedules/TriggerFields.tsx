import { useMeasures } from "../api/measures";
import type { JobKind } from "../api/shapes";
import { Button } from "../look/Button";
import { Field } from "../look/Field";
import forms from "../look/forms.module.css";
import { figure } from "../look/numbers";
import { when } from "../look/times";
import { wrongAt } from "../machine/order";
import { cronFault, cronWords, nextRuns } from "./cron";
import styles from "./Schedules.module.css";
import type { TriggerType, TypedTrigger } from "./trigger";

const TYPES: { type: TriggerType; name: string }[] = [
  { type: "at", name: "At a time" },
  { type: "cron", name: "Again and again" },
  { type: "after", name: "After a job" },
  { type: "measure", name: "When a number is reached" },
];
const COMMON = [
  ["every night", "0 3 * * *"],
  ["every hour", "0 * * * *"],
  ["Mondays", "0 3 * * 1"],
] as const;

interface Props {
  slug: string;
  kinds: readonly JobKind[];
  trigger: TypedTrigger;
  wrong: Record<string, unknown>;
  onChange: (trigger: TypedTrigger) => void;
}

/** When it starts. */
export function TriggerFields({ slug, kinds, trigger, wrong, onChange }: Props) {
  const set = (change: Partial<TypedTrigger>): void => { onChange({ ...trigger, ...change }); };
  const inside = { ...((wrong["trigger"] ?? {}) as Record<string, unknown>), ...wrong };
  return (
    <fieldset className={styles["set"]}>
      <legend>When it starts</legend>
      <div className={styles["triggers"]}>
        {TYPES.map(({ type, name }) => (
          <label key={type}>
            <input type="radio" name="trigger" checked={trigger.type === type} onChange={() => { set({ type }); }} />
            {name}
          </label>
        ))}
      </div>
      {trigger.type === "at" && (
        <Field label="Time" hint="On your clock." wrong={wrongAt(inside, "at")}>
          {(wiring) => <input {...wiring} type="datetime-local" value={trigger.at} onChange={(event) => { set({ at: event.target.value }); }} />}
        </Field>
      )}
      {trigger.type === "cron" && <CronFields trigger={trigger} wrong={inside} set={set} />}
      {trigger.type === "after" && (
        <Field label="Kind of job" hint="Each one that succeeds starts this." wrong={wrongAt(inside, "kind")}>
          {(wiring) => (
            <select {...wiring} value={trigger.kind} onChange={(event) => { set({ kind: event.target.value }); }}>
              <option value="">Choose…</option>
              {kinds.map((kind) => (
                <option key={kind.kind} value={kind.kind}>
                  {kind.title}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      {trigger.type === "measure" && <MeasureFields slug={slug} trigger={trigger} wrong={inside} set={set} />}
    </fieldset>
  );
}

interface PartProps {
  trigger: TypedTrigger;
  wrong: Record<string, unknown>;
  set: (change: Partial<TypedTrigger>) => void;
}

function CronFields({ trigger, wrong, set }: PartProps) {
  const runs = nextRuns(trigger.cron, trigger.timezone, new Date());
  const words = cronWords(trigger.cron);
  const fault = trigger.cron.trim() === "" ? undefined : (cronFault(trigger.cron) ?? undefined);
  return (
    <>
      <div className={forms["grid"]}>
        <Field label="Cron line" hint="Minute, hour, day of the month, month, day of the week." wrong={fault ?? wrongAt(wrong, "cron")}>
          {(wiring) => <input {...wiring} spellCheck={false} value={trigger.cron} onChange={(event) => { set({ cron: event.target.value }); }} />}
        </Field>
        <Field label="Time zone" wrong={wrongAt(wrong, "timezone")}>
          {(wiring) => <input {...wiring} spellCheck={false} value={trigger.timezone} onChange={(event) => { set({ timezone: event.target.value }); }} />}
        </Field>
      </div>
      <div className={styles["common"]}>
        {COMMON.map(([name, cron]) => (
          <Button key={cron} look="quiet" small onClick={() => { set({ cron }); }}>
            {name}
          </Button>
        ))}
      </div>
      <p className={styles["means"]} role="status">
        {runs === null && fault === undefined && trigger.cron.trim() !== "" && "There is no such time zone."}
        {runs?.length === 0 && "This line never comes."}
        {runs !== null && runs.length > 0 && (
          <>
            {words !== null && `${words}. `}
            Next on your clock: {runs.map((run) => when(run.toISOString())).join(" · ")}
          </>
        )}
      </p>
    </>
  );
}

function MeasureFields({ slug, trigger, wrong, set }: PartProps & { slug: string }) {
  const measures = useMeasures(slug);
  const chosen = measures.data?.find((measure) => measure.name === trigger.measure);
  return (
    <div className={forms["grid"]}>
      <Field label="Number" hint={chosen && `It is ${figure(chosen.value)} now.`} wrong={wrongAt(wrong, "measure")}>
        {(wiring) => (
          <select {...wiring} value={trigger.measure} onChange={(event) => { set({ measure: event.target.value }); }}>
            <option value="">Choose…</option>
            {measures.data?.map((measure) => (
              <option key={measure.name} value={measure.name}>
                {measure.title}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="At least" hint="What it counts, it counts anew after each start." wrong={wrongAt(wrong, "at_least")}>
        {(wiring) => <input {...wiring} inputMode="decimal" value={trigger.atLeast} onChange={(event) => { set({ atLeast: event.target.value }); }} />}
      </Field>
    </div>
  );
}

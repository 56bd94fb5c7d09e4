import { type SubmitEvent, useState } from "react";
import { ApiError } from "../api/client";
import { useProject, useRole, useSlug } from "../api/project";
import { useChangeProject, useChangeSettings, useSettings } from "../api/settings";
import type { Project, Settings } from "../api/shapes";
import { useShortcuts } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import forms from "../look/forms.module.css";
import { Kbd } from "../look/Kbd";
import { Page } from "../look/Page";
import { ErrorNote, Note, Quiet, Skeleton } from "../look/states";
import { useToasts } from "../look/toasts";
import { wrongAt } from "../machine/order";
import { BasePolicy } from "./BasePolicy";
import { Flags } from "./Flags";
import { GuidelinesEditor } from "./GuidelinesEditor";
import styles from "./Settings.module.css";
import { changesOf, toTyped, type Typed } from "./typed";

/** How a project labels, what annotators are told, and what it begins with. */
export function SettingsPage() {
  const slug = useSlug();
  const leads = useRole() === "admin";
  const project = useProject(slug);
  const settings = useSettings(slug);
  const failed = project.error ?? settings.error;
  return (
    <Page title="Settings" about="What holds from the next task on. Who changed what is written down.">
      {!leads && <Note>Your role may look; an admin of the project can change this.</Note>}
      {failed !== null && <ErrorNote error={failed} onRetry={() => void Promise.all([project.refetch(), settings.refetch()])} />}
      {failed === null && (project.data === undefined || settings.data === undefined) && <Skeleton blocks={3} lines={0} />}
      {project.data && settings.data && (
        <>
          <Labeling slug={slug} settings={settings.data} leads={leads} />
          <GuidelinesEditor slug={slug} leads={leads} />
          <Names key={project.data.name} slug={slug} project={project.data} leads={leads} />
          <BasePolicy slug={slug} />
        </>
      )}
    </Page>
  );
}

function Names({ slug, project, leads }: { slug: string; project: Project; leads: boolean }) {
  const change = useChangeProject(slug);
  const { say } = useToasts();
  const [name, setName] = useState(project.name);
  const [description, setDescription] = useState(project.description);
  const same = name.trim() === project.name && description.trim() === project.description;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    change.mutate({ name: name.trim(), description: description.trim() }, { onSuccess: () => { say("Saved."); } });
  };
  return (
    <Card title="Name">
      <form className={styles["stack"]} onSubmit={submit}>
        <Field label="Name">
          {(wiring) => <input {...wiring} required maxLength={150} disabled={!leads} value={name} onChange={(event) => { setName(event.target.value); }} />}
        </Field>
        <Field label="About" hint="Annotators read it on their first page.">
          {(wiring) => <textarea {...wiring} rows={2} maxLength={10_000} disabled={!leads} value={description} onChange={(event) => { setDescription(event.target.value); }} />}
        </Field>
        {change.isError && <ErrorNote error={change.error} />}
        {leads && (
          <div>
            <Button type="submit" disabled={same || change.isPending}>
              Save the name
            </Button>
          </div>
        )}
      </form>
    </Card>
  );
}

const ORDERS: { order: Settings["order"]; name: string; hint: string }[] = [
  { order: "served", name: "What others have begun", hint: "Tasks get finished one after the other." },
  { order: "uniform", name: "By lot", hint: "Every task has the same chance to come early." },
  { order: "score", name: "What a model is least sure of", hint: "By how unsure the reward model was that a sampling job was given; tasks without such a figure come last, as they were made." },
];

function Labeling({ slug, settings, leads }: { slug: string; settings: Settings; leads: boolean }) {
  const change = useChangeSettings(slug);
  const { say } = useToasts();
  const [original, setOriginal] = useState(settings);
  const [typed, setTyped] = useState<Typed>(() => toTyped(settings));
  const [alsoOpen, setAlsoOpen] = useState(false);
  const wrong = change.error instanceof ApiError ? change.error.fields : {};
  const changes = changesOf(typed, original);
  const count = Object.keys(changes).length;
  const raised = Number(typed.overlap) > original.overlap;
  const set = (news: Partial<Typed>): void => { setTyped((before) => ({ ...before, ...news })); };
  /** What others change meanwhile is not taken for a change of one's own. */
  const begin = (from: Settings): void => {
    setOriginal(from);
    setTyped(toTyped(from));
  };
  const save = (): void => {
    if (count === 0 || !leads || change.isPending) return;
    change.mutate({ ...changes, also_open: raised && alsoOpen }, {
      onSuccess: (saved) => {
        begin(saved);
        say("Saved. It holds from the next task on.");
      },
    });
  };
  useShortcuts("Settings", [{ keys: "Control+Enter", shown: ["Ctrl ⏎"], does: "Save", run: save }]);
  const number = (name: keyof Typed, wiring: object, more: object = {}) => (
    <input {...wiring} inputMode="numeric" disabled={!leads} value={typed[name] as string} onChange={(event) => { set({ [name]: event.target.value }); }} {...more} />
  );
  const rule = (name: "extra_below" | "daily_limit", start: string, words: string) => (
    <label className={forms["check"]}>
      <input type="checkbox" disabled={!leads} checked={typed[name] !== ""} onChange={(event) => { set({ [name]: event.target.checked ? start : "" }); }} />
      <span>{words}</span>
    </label>
  );
  return (
    <form
      className={styles["form"]}
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
      noValidate
    >
      <Card title="Tasks">
        <div className={forms["grid"]}>
          <Field label="Responses a task" hint="2 to 9; annotators rank them." wrong={wrongAt(wrong, "responses_per_task")}>
            {(wiring) => number("responses_per_task", wiring)}
          </Field>
          <Field label="Annotators a task" hint="How many judge the same one." wrong={wrongAt(wrong, "overlap")}>
            {(wiring) => number("overlap", wiring)}
          </Field>
          <Field label="Share of tasks for which that holds, in %" hint="The others have one annotator." wrong={wrongAt(wrong, "overlap_percent")}>
            {(wiring) => number("overlap_percent", wiring)}
          </Field>
          <Field label="Minutes a task stays in one's hands" hint="From the last sign of life on." wrong={wrongAt(wrong, "lease_seconds")}>
            {(wiring) => number("lease_minutes", wiring, { inputMode: "decimal" })}
          </Field>
          <Field label="Skips until a task is set aside" hint="A reviewer looks at it then." wrong={wrongAt(wrong, "skip_limit")}>
            {(wiring) => number("skip_limit", wiring)}
          </Field>
          <Field label="Which task comes next" hint={ORDERS.find((each) => each.order === typed.order)?.hint}>
            {(wiring) => (
              <select {...wiring} disabled={!leads} value={typed.order} onChange={(event) => { set({ order: event.target.value as Settings["order"] }); }}>
                {ORDERS.map((each) => (
                  <option key={each.order} value={each.order}>
                    {each.name}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </div>
        <div className={styles["rules"]}>
          {raised && leads && (
            <label className={forms["check"]}>
              <input type="checkbox" checked={alsoOpen} onChange={(event) => { setAlsoOpen(event.target.checked); }} />
              <span>Give the tasks that are open already more annotators, too</span>
            </label>
          )}
          {rule("extra_below", "67", "Ask one more annotator when the first two disagree")}
          {typed.extra_below !== "" && (
            <Field className={styles["inner"] ?? ""} label="They disagree when they agree on fewer than so many % of the pairs" wrong={wrongAt(wrong, "extra_below")}>
              {(wiring) => number("extra_below", wiring)}
            </Field>
          )}
        </div>
      </Card>
      <Card title="People">
        <div className={styles["rules"]}>
          {rule("daily_limit", "50", "Let nobody do more than so many tasks a day")}
          {typed.daily_limit !== "" && (
            <Field className={styles["inner"] ?? ""} label="Tasks a day" wrong={wrongAt(wrong, "daily_limit")}>
              {(wiring) => number("daily_limit", wiring)}
            </Field>
          )}
          <label className={forms["check"]}>
            <input type="checkbox" disabled={!leads} checked={typed.shows_agreement} onChange={(event) => { set({ shows_agreement: event.target.checked }); }} />
            <span>Let annotators see how far they agree with the others and with known answers</span>
          </label>
        </div>
      </Card>
      <Card title="Known answers">
        <p className={styles["about"]}>
          Tasks whose answer is known are made on the Review page, from tasks that were judged well. They look like any other task, and enter no dataset.
        </p>
        <div className={forms["grid"]}>
          <Field label="Share of rankings that are gold, in %" hint="Mixed among the work, to see how everyone does. At most 50." wrong={wrongAt(wrong, "gold_percent")}>
            {(wiring) => number("gold_percent", wiring)}
          </Field>
          <Field label="First tasks before real work" hint="0: nobody has to qualify. Reviewers and admins never have to." wrong={wrongAt(wrong, "qualification_tasks")}>
            {(wiring) => number("qualification_tasks", wiring)}
          </Field>
          {typed.qualification_tasks !== "0" && (
            <Field label="Pairs that must be right, in %" hint="A tie where the answer has an order counts half." wrong={wrongAt(wrong, "qualification_percent")}>
              {(wiring) => number("qualification_percent", wiring)}
            </Field>
          )}
        </div>
      </Card>
      <Flags typed={typed} leads={leads} wrong={wrongAt(wrong, "label_set")} onChange={set} />
      {change.isError && <ErrorNote error={change.error} safe="Nothing was changed." />}
      {leads && (
        <div className={styles["foot"]}>
          <Button type="submit" look="go" disabled={count === 0 || change.isPending}>
            {change.isPending ? "Saving…" : "Save"} <Kbd>Ctrl ⏎</Kbd>
          </Button>
          {count > 0 ? (
            <Button look="quiet" onClick={() => { begin(settings); }}>
              Leave it as it was
            </Button>
          ) : (
            <Quiet>Nothing is changed.</Quiet>
          )}
        </div>
      )}
    </form>
  );
}

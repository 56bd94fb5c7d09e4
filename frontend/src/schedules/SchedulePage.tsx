import { type SubmitEvent, useState } from "react";
import { useNavigate, useParams } from "react-router";
import { ApiError } from "../api/client";
import { useJobKinds } from "../api/jobs";
import { useRole, useSlug } from "../api/project";
import { useChangeSchedule, useCreateSchedule, useSchedule } from "../api/schedules";
import type { JobKind, Schedule } from "../api/shapes";
import { useShortcuts } from "../keys/shortcuts";
import { Button, ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import { Kbd } from "../look/Kbd";
import { Page } from "../look/Page";
import { ErrorNote, Note, Skeleton } from "../look/states";
import { KindPicker } from "../machine/KindPicker";
import { configOf, inputsOf, newOrder, type Order, settingsOf, typedFrom, wrongAt } from "../machine/order";
import { OrderFields } from "../machine/OrderFields";
import styles from "./Schedules.module.css";
import { TriggerFields } from "./TriggerFields";
import { toServer, toTyped, type TypedTrigger } from "./trigger";

/** A schedule to be made or changed. */
export function SchedulePage() {
  const slug = useSlug();
  const id = useParams()["id"];
  const schedule = useSchedule(id === undefined ? null : Number(id));
  const kinds = useJobKinds();
  const failed = kinds.error ?? schedule.error;
  const ready = kinds.data !== undefined && (id === undefined || schedule.data !== undefined);
  return (
    <Page title={id === undefined ? "New schedule" : (schedule.data?.name ?? "Schedule")} back={{ to: `/p/${slug}/schedules`, name: "Schedules" }}>
      {failed !== null && <ErrorNote error={failed} onRetry={() => void Promise.all([kinds.refetch(), schedule.refetch()])} />}
      {!ready && failed === null && <Skeleton blocks={1} />}
      {ready && <Form slug={slug} kinds={kinds.data} schedule={schedule.data ?? null} />}
    </Page>
  );
}

function orderOf(kind: JobKind, schedule: Schedule): Order {
  const settings = settingsOf(kind.schema);
  const given = (schedule.inputs ?? {}) as Order["inputs"];
  return {
    kind: kind.kind,
    typed: typedFrom(settings, (schedule.config ?? {}) as Record<string, unknown>),
    inputs: { ...newOrder(kind).inputs, ...given },
  };
}

function Form({ slug, kinds, schedule }: { slug: string; kinds: readonly JobKind[]; schedule: Schedule | null }) {
  const navigate = useNavigate();
  const role = useRole();
  const create = useCreateSchedule();
  const change = useChangeSchedule();
  const [kindName, setKindName] = useState(schedule?.kind ?? "");
  const kind = kinds.find((each) => each.kind === kindName);
  const [order, setOrder] = useState<Order | null>(() => (kind && schedule ? orderOf(kind, schedule) : null));
  const [name, setName] = useState(schedule?.name ?? "");
  const [trigger, setTrigger] = useState<TypedTrigger>(() => toTyped(schedule?.trigger));
  const failed = create.error ?? change.error;
  const wrong = failed instanceof ApiError ? failed.fields : {};
  const back = `/p/${slug}/schedules`;
  const mayChange = role === "admin" || role === "researcher";
  const pending = create.isPending || change.isPending;

  const choose = (chosen: string): void => {
    const found = kinds.find((each) => each.kind === chosen);
    setKindName(chosen);
    if (found) setOrder(newOrder(found));
    if (name === "" && found) setName(found.title);
  };
  const save = (): void => {
    if (kind === undefined || order === null || pending || !mayChange) return;
    const said = {
      name: name.trim(),
      config: configOf(settingsOf(kind.schema), order.typed),
      inputs: inputsOf(order) as Record<string, string | { job: number }>,
      trigger: toServer(trigger),
    };
    const done = { onSuccess: () => void navigate(back) };
    if (schedule === null) create.mutate({ ...said, project: slug, kind: kind.kind, enabled: true }, done);
    else change.mutate({ id: schedule.id, body: said }, done);
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    save();
  };
  useShortcuts("Schedule", [{ keys: "Control+Enter", does: "Save", run: save }]);
  return (
    <form className={styles["form"]} onSubmit={submit} noValidate>
      {!mayChange && <Note>Your role may look at schedules; a researcher or an admin can change them.</Note>}
      {schedule === null && <KindPicker kinds={kinds} chosen={kindName} onChoose={choose} />}
      {kind && order && (
        <Card title={kind.title}>
          <div className={styles["form"]}>
            <Field label="Name" wrong={wrongAt(wrong, "name")}>
              {(wiring) => <input {...wiring} required maxLength={120} value={name} onChange={(event) => { setName(event.target.value); }} />}
            </Field>
            <TriggerFields slug={slug} kinds={kinds} trigger={trigger} wrong={wrong} onChange={setTrigger} />
            <OrderFields slug={slug} kind={kind} order={order} wrong={wrong} afterJob={trigger.type === "after"} onChange={setOrder} />
            {failed !== null && <ErrorNote error={failed} safe="Nothing was changed." />}
            <div className={styles["foot"]}>
              <Button type="submit" look="go" disabled={pending || !mayChange}>
                {pending ? "Saving…" : schedule === null ? "Create" : "Save"} <Kbd>Ctrl ⏎</Kbd>
              </Button>
              <ButtonLink to={back} look="quiet">
                Leave it
              </ButtonLink>
            </div>
          </div>
        </Card>
      )}
    </form>
  );
}

import { type SubmitEvent, useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import { ApiError } from "../api/client";
import { useJobKinds, useStartJob } from "../api/jobs";
import { useSlug } from "../api/project";
import type { JobKind } from "../api/shapes";
import { useShortcuts } from "../keys/shortcuts";
import { Button, ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import forms from "../look/forms.module.css";
import { Kbd } from "../look/Kbd";
import { Page } from "../look/Page";
import { ErrorNote, Skeleton } from "../look/states";
import { KindPicker } from "../machine/KindPicker";
import { configOf, inputsOf, newOrder, settingsOf, wrongAt } from "../machine/order";
import { OrderFields } from "../machine/OrderFields";
import styles from "./Jobs.module.css";

/** Start a job: what, with what, how. */
export function NewJobPage() {
  const slug = useSlug();
  const kinds = useJobKinds();
  return (
    <Page title="Start a job" back={{ to: `/p/${slug}/jobs`, name: "Jobs" }}>
      {kinds.isPending && <Skeleton blocks={1} />}
      {kinds.isError && <ErrorNote error={kinds.error} onRetry={() => void kinds.refetch()} />}
      {kinds.data && <Form slug={slug} kinds={kinds.data} />}
    </Page>
  );
}

function Form({ slug, kinds }: { slug: string; kinds: readonly JobKind[] }) {
  const [search, setSearch] = useSearchParams();
  const chosen = kinds.find((kind) => kind.kind === search.get("kind"));
  return (
    <div className={styles["form"]}>
      <KindPicker kinds={kinds} chosen={chosen?.kind ?? ""} onChoose={(kind) => { setSearch({ kind }, { replace: true }); }} />
      {chosen && <Order key={chosen.kind} slug={slug} kind={chosen} />}
    </div>
  );
}

function Order({ slug, kind }: { slug: string; kind: JobKind }) {
  const navigate = useNavigate();
  const start = useStartJob();
  const [order, setOrder] = useState(() => newOrder(kind));
  const [name, setName] = useState("");
  const [seed, setSeed] = useState("1");
  const wrong = start.error instanceof ApiError ? start.error.fields : {};
  const send = (): void => {
    if (start.isPending) return;
    const inputs = inputsOf(order) as Record<string, string | { job: number }>;
    start.mutate(
      { project: slug, kind: kind.kind, name: name.trim(), config: configOf(settingsOf(kind.schema), order.typed), inputs, seed: Number(seed) },
      { onSuccess: (job) => void navigate(`/p/${slug}/jobs/${String(job.id)}`) },
    );
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    send();
  };
  useShortcuts("Start a job", [{ keys: "Control+Enter", does: "Start it", run: send }]);
  return (
    <Card title={kind.title}>
      <form className={styles["form"]} onSubmit={submit} noValidate>
        <OrderFields slug={slug} kind={kind} order={order} wrong={wrong} onChange={setOrder} />
        <div className={forms["grid"]}>
          <Field label="Name" hint="Optional: what you will look for later." wrong={wrongAt(wrong, "name")}>
            {(wiring) => <input {...wiring} maxLength={120} value={name} onChange={(event) => { setName(event.target.value); }} />}
          </Field>
          <Field label="Seed" hint="The same seed gives the same result." wrong={wrongAt(wrong, "seed")}>
            {(wiring) => <input {...wiring} inputMode="numeric" value={seed} onChange={(event) => { setSeed(event.target.value); }} />}
          </Field>
        </div>
        {start.isError && <ErrorNote error={start.error} safe="Nothing was started." />}
        <div className={styles["foot"]}>
          <Button type="submit" look="go" disabled={start.isPending}>
            {start.isPending ? "Starting…" : "Start"} <Kbd>Ctrl ⏎</Kbd>
          </Button>
          <ButtonLink to={`/p/${slug}/jobs`} look="quiet">
            Leave it
          </ButtonLink>
        </div>
      </form>
    </Card>
  );
}

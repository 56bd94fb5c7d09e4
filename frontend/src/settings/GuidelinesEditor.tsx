import { useState } from "react";
import { useGuidelinesVersions, usePublishGuidelines } from "../api/settings";
import type { GuidelinesVersion } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import { Markdown } from "../look/Markdown";
import { ErrorNote, Quiet, Skeleton } from "../look/states";
import { Time } from "../look/Time";
import { useToasts } from "../look/toasts";
import styles from "./Settings.module.css";

/** What annotators are told: written beside its preview, published by version. */
export function GuidelinesEditor({ slug, leads }: { slug: string; leads: boolean }) {
  const versions = useGuidelinesVersions(slug);
  const rows = versions.data?.pages.flatMap((page) => page.results) ?? [];
  return (
    <Card title="Guidelines" aside={rows[0] && <Quiet>version {rows[0].version}</Quiet>}>
      {versions.isPending && <Skeleton lines={4} />}
      {versions.isError && <ErrorNote error={versions.error} onRetry={() => void versions.refetch()} />}
      {versions.data && <Editor slug={slug} newest={rows[0]} leads={leads} />}
      {rows.length > 1 && <Older versions={rows.slice(1)} />}
      {versions.hasNextPage && (
        <Button look="quiet" small onClick={() => void versions.fetchNextPage()}>
          Older still
        </Button>
      )}
    </Card>
  );
}

function Editor({ slug, newest, leads }: { slug: string; newest: GuidelinesVersion | undefined; leads: boolean }) {
  const publish = usePublishGuidelines(slug);
  const { say } = useToasts();
  const [written, setWritten] = useState<string | null>(null); // null: what is published stands there
  const text = written ?? newest?.text ?? "";
  const next = (newest?.version ?? 0) + 1;
  if (!leads) return newest ? <Markdown text={newest.text} /> : <Quiet>Nobody has written any yet.</Quiet>;
  const go = (): void => {
    publish.mutate(text, { onSuccess: () => { setWritten(null); say(`Version ${String(next)} is published. Annotators are shown it once.`); } });
  };
  return (
    <div className={styles["stack"]}>
      <div className={styles["editor"]}>
        <Field label="Text, in Markdown">
          {(wiring) => <textarea {...wiring} rows={12} dir="auto" value={text} onChange={(event) => { setWritten(event.target.value); }} />}
        </Field>
        <section className={styles["preview"]} aria-label="Preview">
          <h3>Preview</h3>
          {text.trim() === "" ? <Quiet>What annotators will read stands here.</Quiet> : <Markdown text={text} />}
        </section>
      </div>
      {publish.isError && <ErrorNote error={publish.error} safe="What you wrote is still here." />}
      <div className={styles["foot"]}>
        <Button disabled={publish.isPending || text.trim() === "" || text === newest?.text} onClick={go}>
          {publish.isPending ? "Publishing…" : `Publish version ${String(next)}`}
        </Button>
        <Quiet>Each word of an annotator names the version that it was said under.</Quiet>
      </div>
    </div>
  );
}

function Older({ versions }: { versions: readonly GuidelinesVersion[] }) {
  return (
    <section className={styles["older"]} aria-label="Earlier versions">
      {versions.map((each) => (
        <details key={each.version}>
          <summary>
            Version {each.version} · <Time at={each.created_at} />
            {each.created_by != null && ` · ${each.created_by}`}
          </summary>
          <Markdown text={each.text} />
        </details>
      ))}
    </section>
  );
}

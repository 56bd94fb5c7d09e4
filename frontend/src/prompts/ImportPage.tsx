import { type SubmitEvent, useState } from "react";
import { ApiError, newId } from "../api/client";
import { useSlug } from "../api/project";
import { type ImportWish, useImport, useImportProgress } from "../api/prompts";
import type { ImportReport } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import forms from "../look/forms.module.css";
import { bytes } from "../look/numbers";
import { Page } from "../look/Page";
import { ErrorNote, Progress, Quiet } from "../look/states";
import { Table } from "../look/Table";
import { wrongAt } from "../machine/order";
import styles from "./Prompts.module.css";

const WHAT: { what: ImportWish["what"]; name: string; line: string }[] = [
  { what: "prompts", name: "Prompts", line: "A line holds prompt (text, or a list of {role, content}), and may hold source, source_user, tags, priority and split." },
  { what: "demonstrations", name: "Demonstrations", line: "A line holds prompt and response, and may hold annotator, source and split." },
  { what: "judgements", name: "Responses and judgements", line: "A line holds prompt and responses by name, and may hold annotations; or chosen and rejected. What nobody judged becomes a task to rank." },
];

/** Bringing a file in: whole or not at all, every bad line named by its number. */
export function ImportPage() {
  const slug = useSlug();
  const [file, setFile] = useState<File | null>(null);
  const [wish, setWish] = useState<Omit<ImportWish, "file">>({ what: "prompts", on_error: "refuse", near: "keep", source: "", demonstrate: false });
  const [ticket, setTicket] = useState(newId);
  const [sent, setSent] = useState(0);
  const bring = useImport(slug, ticket, setSent);
  const progress = useImportProgress(slug, ticket, bring.isPending && sent >= 1);
  const set = (news: Partial<typeof wish>): void => {
    setWish({ ...wish, ...news });
    bring.reset();
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (file === null) return;
    setSent(0);
    setTicket(newId());
    bring.mutate({ ...wish, file });
  };
  const about = WHAT.find((each) => each.what === wish.what);
  const share = sent < 1 ? sent : (progress.data?.share ?? null);
  return (
    <Page title="Bring a file in" back={{ to: `/p/${slug}/prompts`, name: "Prompts" }} about="JSON lines or CSV, gzipped or not. Bringing the same file in again changes nothing.">
      <Card>
        <form className={styles["stack"]} onSubmit={submit} noValidate>
          <div className={forms["grid"]}>
            <Field label="File" hint={file === null ? ".jsonl, .json, .ndjson or .csv, with .gz or without" : bytes(file.size)} wrong={bring.error instanceof ApiError ? wrongAt(bring.error.fields, "file") : undefined}>
              {(wiring) => (
                <input
                  {...wiring}
                  type="file"
                  accept=".jsonl,.json,.ndjson,.csv,.gz"
                  onChange={(event) => {
                    setFile(event.target.files?.[0] ?? null);
                    bring.reset();
                  }}
                />
              )}
            </Field>
            <Field label="It holds" hint={about?.line}>
              {(wiring) => (
                <select {...wiring} value={wish.what} onChange={(event) => { set({ what: event.target.value as ImportWish["what"] }); }}>
                  {WHAT.map((each) => (
                    <option key={each.what} value={each.what}>
                      {each.name}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field label="Source of lines that name none" {...(wish.what === "prompts" && { hint: "At most 200 prompts of one source user come in." })}>
              {(wiring) => <input {...wiring} maxLength={100} value={wish.source} onChange={(event) => { set({ source: event.target.value }); }} />}
            </Field>
          </div>
          <div className={styles["rules"]}>
            <label className={forms["check"]}>
              <input type="checkbox" checked={wish.on_error === "skip"} onChange={(event) => { set({ on_error: event.target.checked ? "skip" : "refuse" }); }} />
              <span>Skip bad lines, instead of refusing the whole file</span>
            </label>
            {wish.what === "prompts" && (
              <>
                <label className={forms["check"]}>
                  <input type="checkbox" checked={wish.near === "leave_out"} onChange={(event) => { set({ near: event.target.checked ? "leave_out" : "keep" }); }} />
                  <span>Leave out prompts that share a long beginning with one before them</span>
                </label>
                <label className={forms["check"]}>
                  <input type="checkbox" checked={wish.demonstrate} onChange={(event) => { set({ demonstrate: event.target.checked }); }} />
                  <span>Ask annotators to answer each new prompt</span>
                </label>
              </>
            )}
          </div>
          {bring.isPending && (
            <div className={styles["progress"]} role="status">
              <Progress value={share} label="Bringing the file in" />
              <Quiet>{sent < 1 ? `Sending: ${String(Math.round(100 * sent))} %` : share === null ? "Reading…" : `Reading and writing: ${String(Math.round(100 * share))} %`}</Quiet>
            </div>
          )}
          {bring.isError && <Refused error={bring.error} />}
          <div className={styles["foot"]}>
            <Button type="submit" look="go" disabled={file === null || bring.isPending}>
              {bring.isPending ? "Bringing it in…" : "Bring it in"}
            </Button>
          </div>
        </form>
      </Card>
      {bring.data && <Report slug={slug} report={bring.data} />}
    </Page>
  );
}

interface BadLine {
  line: number;
  reason: string;
}

function Refused({ error }: { error: Error }) {
  const fields = error instanceof ApiError ? error.fields : {};
  const bad = (fields["bad"] ?? []) as BadLine[];
  const count = Array.isArray(fields["lines"]) ? fields["lines"].length : bad.length;
  if (bad.length === 0) return <ErrorNote error={error} safe="Nothing was brought in." />;
  return (
    <div role="alert" className={styles["stack"]}>
      <p>
        <b>
          {count === 1 ? "One line is bad" : `${count.toLocaleString()} lines are bad`}; nothing was brought in.
        </b>{" "}
        Mend them, or skip them.
      </p>
      <BadLines bad={bad} count={count} />
    </div>
  );
}

function BadLines({ bad, count }: { bad: readonly BadLine[]; count: number }) {
  return (
    <>
      <Table
        caption="Bad lines"
        bare
        rows={bad}
        id={(row) => row.line}
        columns={[
          { name: "Line", show: (row) => row.line.toLocaleString() },
          { name: "What is wrong", show: (row) => row.reason },
        ]}
      />
      {count > bad.length && <Quiet>and {(count - bad.length).toLocaleString()} more</Quiet>}
    </>
  );
}

function Report({ slug, report }: { slug: string; report: ImportReport }) {
  return (
    <Card title="What came in" aside={<ButtonLink small to={`/p/${slug}/prompts`}>Look at the prompts</ButtonLink>}>
      <dl className={styles["counts"]}>
        <div>
          <dt>lines read</dt>
          <dd>{report.lines.toLocaleString()}</dd>
        </div>
        {report.counts.map((each) => (
          <div key={each.what}>
            <dt>{each.what}</dt>
            <dd>{each.count.toLocaleString()}</dd>
          </div>
        ))}
        {report.bad_count > 0 && (
          <div>
            <dt>bad lines skipped</dt>
            <dd>{report.bad_count.toLocaleString()}</dd>
          </div>
        )}
      </dl>
      {report.bad.length > 0 && <BadLines bad={report.bad} count={report.bad_count} />}
    </Card>
  );
}

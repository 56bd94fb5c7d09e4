import { Link } from "react-router";
import { useDataset } from "../api/datasets";
import { useCheckpoint } from "../api/models";
import { useSlug } from "../api/project";
import type { JobDetail } from "../api/shapes";
import { Card } from "../look/Card";
import { digestStart } from "../look/numbers";
import { exactly, when } from "../look/times";
import { asText } from "../machine/order";
import styles from "./Jobs.module.css";

/** What it read, what it made, and with which settings. */
export function Facts({ job }: { job: JobDetail }) {
  const slug = useSlug();
  const asked = Object.entries((job.requested_inputs ?? {}) as Record<string, unknown>);
  const read = (job.inputs ?? {}) as Record<string, string>;
  const settings = Object.entries((job.config ?? {}) as Record<string, unknown>);
  return (
    <Card title="Order">
      <dl className={styles["facts"]}>
        {job.output !== null && (
          <Fact name="Made">
            {job.output.checkpoint !== null && <CheckpointLink slug={slug} id={job.output.checkpoint} />}
            {job.output.dataset !== null && <DatasetLink slug={slug} id={job.output.dataset} />}{" "}
            <code>{digestStart(job.output.digest)}</code>
          </Fact>
        )}
        {asked.map(([name, reference]) => (
          <Fact key={name} name={`Reads ${name}`}>
            {referenceName(reference)} {read[name] !== undefined && <code>{digestStart(read[name])}</code>}
          </Fact>
        ))}
        <Fact name="Begun">
          <time dateTime={job.created_at} title={exactly(job.created_at)}>
            {when(job.created_at)}
          </time>
          {job.schedule !== null ? (
            <>
              {" "}
              by <Link to={`/p/${slug}/schedules/${String(job.schedule)}`}>a schedule</Link>
            </>
          ) : (
            job.created_by !== null && ` by ${job.created_by}`
          )}
        </Fact>
        {job.triggered_by !== null && (
          <Fact name="After">
            <Link to={`/p/${slug}/jobs/${String(job.triggered_by)}`}>job {job.triggered_by}</Link>
          </Fact>
        )}
        <Fact name="Seed">{job.seed}</Fact>
      </dl>
      {settings.length > 0 && (
        <details className={styles["all"]}>
          <summary>All {settings.length} settings</summary>
          <dl className={styles["config"]}>
            {settings.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{asText(value) === "" ? "none" : asText(value)}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </Card>
  );
}

function CheckpointLink({ slug, id }: { slug: string; id: number }) {
  const checkpoint = useCheckpoint(id).data;
  return <Link to={`/p/${slug}/models/${String(id)}`}>{checkpoint?.name ?? `Checkpoint ${String(id)}`}</Link>;
}

function DatasetLink({ slug, id }: { slug: string; id: number }) {
  const dataset = useDataset(id).data;
  return <Link to={`/p/${slug}/datasets/${String(id)}`}>{dataset === undefined ? `Dataset ${String(id)}` : `${dataset.name} v${String(dataset.version)}`}</Link>;
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function referenceName(reference: unknown): string {
  if (typeof reference === "object" && reference !== null && "job" in reference) return `output of job ${String(reference.job)}`;
  const text = asText(reference);
  return text.startsWith("sha256:") ? "" : text;
}

import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { messageOf } from "../api/client";
import { useDatasets } from "../api/datasets";
import { useStartJob } from "../api/jobs";
import { useRole, useSlug } from "../api/project";
import type { DatasetKind } from "../api/shapes";
import { Button } from "../look/Button";
import { Dialog } from "../look/Dialog";
import forms from "../look/forms.module.css";
import { digestStart } from "../look/numbers";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton } from "../look/states";
import { Table } from "../look/Table";
import { exactly, when } from "../look/times";
import { useToasts } from "../look/toasts";
import styles from "./Datasets.module.css";

/** Frozen datasets, newest first. */
export function DatasetsPage() {
  const slug = useSlug();
  const role = useRole();
  const datasets = useDatasets(slug);
  const [asking, setAsking] = useState(false);
  const rows = datasets.data?.pages.flatMap((page) => page.results) ?? [];
  const mayTake = role === "admin" || role === "researcher";
  const take = mayTake ? (
    <Button look="go" onClick={() => { setAsking(true); }}>
      Take a snapshot
    </Button>
  ) : undefined;
  return (
    <Page title="Datasets" actions={take}>
      {datasets.isPending && <Skeleton lines={5} />}
      {datasets.isError && <ErrorNote error={datasets.error} safe="Datasets never change." onRetry={() => void datasets.refetch()} />}
      {datasets.data && rows.length === 0 && (
        <Empty title="No datasets yet" action={take}>
          A snapshot freezes what people said, line by line, under a digest. Trainers read nothing else.
        </Empty>
      )}
      {rows.length > 0 && (
        <Table
          caption="Datasets"
          rows={rows}
          id={(each) => each.id}
          columns={[
            {
              name: "Dataset",
              show: (each) => (
                <div className={styles["name"]}>
                  <Link to={String(each.id)}>
                    {each.name} v{each.version}
                  </Link>
                  <Quiet>{each.kind}</Quiet>
                </div>
              ),
            },
            { name: "Lines", number: true, show: (each) => each.count.toLocaleString() },
            { name: "Digest", minor: true, show: (each) => <code>{digestStart(each.digest)}</code> },
            {
              name: "Frozen",
              number: true,
              show: (each) => (
                <time dateTime={each.created_at} title={exactly(each.created_at)}>
                  {when(each.created_at)}
                </time>
              ),
            },
          ]}
        />
      )}
      {datasets.hasNextPage && (
        <div>
          <Button onClick={() => void datasets.fetchNextPage()}>Older datasets</Button>
        </div>
      )}
      {asking && <SnapshotDialog slug={slug} onClose={() => { setAsking(false); }} />}
    </Page>
  );
}

const WHAT: { kind: DatasetKind; name: string; words: string }[] = [
  { kind: "rankings", name: "Rankings", words: "One line a task, with every annotator's word." },
  { kind: "demonstrations", name: "Demonstrations", words: "One line an ideal response." },
  { kind: "prompts", name: "Prompts", words: "What a policy is asked, for PPO and sampling." },
];

function SnapshotDialog({ slug, onClose }: { slug: string; onClose: () => void }) {
  const start = useStartJob();
  const navigate = useNavigate();
  const { say } = useToasts();
  const [simulated, setSimulated] = useState(false);
  const take = (what: DatasetKind): void => {
    start.mutate(
      { project: slug, kind: "labeling.snapshot", name: "", config: { what, include_simulated: simulated }, inputs: {}, seed: 1 },
      {
        onSuccess: (job) => void navigate(`/p/${slug}/jobs/${String(job.id)}`),
        onError: (error) => { say(`No snapshot was taken: ${messageOf(error)}`); },
      },
    );
  };
  return (
    <Dialog title="Take a snapshot of…" onClose={onClose}>
      <ul className={styles["choices"]}>
        {WHAT.map(({ kind, name, words }) => (
          <li key={kind}>
            <Button disabled={start.isPending} className={styles["choice"]} onClick={() => { take(kind); }}>
              <b>{name}</b>
              <span>{words}</span>
            </Button>
          </li>
        ))}
      </ul>
      <label className={forms["check"]}>
        <input type="checkbox" checked={simulated} onChange={(event) => { setSimulated(event.target.checked); }} />
        <span>Include what simulated annotators said</span>
      </label>
    </Dialog>
  );
}

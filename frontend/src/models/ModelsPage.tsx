import { useState } from "react";
import { Link } from "react-router";
import { useCheckpoints } from "../api/models";
import { useRole, useSlug } from "../api/project";
import type { Checkpoint, CheckpointKind } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { digestStart, figure } from "../look/numbers";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import { Table } from "../look/Table";
import { exactly, when } from "../look/times";
import styles from "./Models.module.css";

const KINDS: { kind: CheckpointKind | ""; name: string }[] = [
  { kind: "", name: "All" },
  { kind: "policy", name: "Policies" },
  { kind: "reward", name: "Reward models" },
];

/** Published checkpoints, newest first. */
export function ModelsPage() {
  const slug = useSlug();
  const role = useRole();
  const [kind, setKind] = useState<CheckpointKind | "">("");
  const checkpoints = useCheckpoints(slug, kind === "" ? undefined : kind);
  const rows = checkpoints.data?.pages.flatMap((page) => page.results) ?? [];
  return (
    <Page title="Models">
      <div className={styles["kinds"]} role="group" aria-label="Kind">
        {KINDS.map((each) => (
          <Button key={each.kind} small look={each.kind === kind ? "plain" : "quiet"} aria-pressed={each.kind === kind} onClick={() => { setKind(each.kind); }}>
            {each.name}
          </Button>
        ))}
      </div>
      {checkpoints.isPending && <Skeleton lines={5} />}
      {checkpoints.isError && <ErrorNote error={checkpoints.error} safe="Checkpoints never change." onRetry={() => void checkpoints.refetch()} />}
      {checkpoints.data && rows.length === 0 && (
        <Empty
          title="No checkpoints yet"
          action={
            role === "admin" || role === "researcher" ? (
              <ButtonLink look="go" to={`/p/${slug}/jobs/new?kind=policy.sft`}>
                Fine-tune a policy
              </ButtonLink>
            ) : undefined
          }
        >
          Each training job that succeeds publishes one here, with its card, its parents and its files.
        </Empty>
      )}
      {rows.length > 0 && (
        <Table
          caption="Checkpoints"
          rows={rows}
          id={(each) => each.id}
          columns={[
            {
              name: "Checkpoint",
              show: (each) => (
                <div className={styles["name"]}>
                  <Link to={String(each.id)}>{each.name}</Link>
                  {each.is_champion && <Tag>★ champion</Tag>}
                </div>
              ),
            },
            { name: "Kind", show: (each) => (each.kind === "policy" ? "policy" : "reward model") },
            { name: "Last numbers", minor: true, show: (each) => <Quiet>{lastNumbers(each)}</Quiet> },
            { name: "Digest", minor: true, show: (each) => <code>{digestStart(each.digest)}</code> },
            {
              name: "Published",
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
      {checkpoints.hasNextPage && (
        <div>
          <Button onClick={() => void checkpoints.fetchNextPage()}>Older checkpoints</Button>
        </div>
      )}
    </Page>
  );
}

const TELLING = ["accuracy", "loss", "bits_per_character", "reward", "kl"];

/** Up to three numbers that say most about a model. */
function lastNumbers(checkpoint: Checkpoint): string {
  const names = Object.keys(checkpoint.metrics).filter((name) => typeof checkpoint.metrics[name] === "number");
  const rank = (name: string): number => {
    const found = TELLING.findIndex((word) => name.endsWith(word));
    return (found < 0 ? TELLING.length : found) + (name.includes("valid") ? 0 : 0.5);
  };
  return names
    .toSorted((one, other) => rank(one) - rank(other))
    .slice(0, 3)
    .map((name) => `${name.split("/").at(-1)?.replaceAll("_", " ") ?? name} ${figure(checkpoint.metrics[name])}`)
    .join(" · ");
}

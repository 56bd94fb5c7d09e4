import { Link, useParams } from "react-router";
import { datasetLines, useDataset } from "../api/datasets";
import { useRole, useSlug } from "../api/project";
import { Card } from "../look/Card";
import { CopyLine } from "../look/CopyLine";
import { bytes, figure, percent } from "../look/numbers";
import { Page } from "../look/Page";
import { ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import { exactly, when } from "../look/times";
import { asText } from "../machine/order";
import buttons from "../look/Button.module.css";
import { cx } from "../look/cx";
import styles from "./Datasets.module.css";
import { FirstLines } from "./FirstLines";

/** One frozen dataset: what is in it, and how to have it. */
export function DatasetPage() {
  const slug = useSlug();
  const role = useRole();
  const id = Number(useParams()["id"]);
  const dataset = useDataset(id);
  const back = { to: `/p/${slug}/datasets`, name: "Datasets" };
  if (dataset.data === undefined) {
    return (
      <Page title="Dataset" back={back}>
        {dataset.isError ? <ErrorNote error={dataset.error} onRetry={() => void dataset.refetch()} /> : <Skeleton blocks={2} />}
      </Page>
    );
  }
  const it = dataset.data;
  const lines = it.files.find((file) => file.name === "data.jsonl");
  const mayFetch = role === "admin" || role === "researcher";
  const file = `${it.name.replaceAll(/[^\w.-]+/g, "-")}-v${String(it.version)}.jsonl`;
  const curl = `curl -sSf -H "Authorization: Token $LAUREL_TOKEN" \\\n  -C - -o ${file} ${window.location.origin}${datasetLines(it.id)}`;
  return (
    <Page
      title={`${it.name} v${String(it.version)}`}
      back={back}
      tags={<Tag tone="idle">{it.kind}</Tag>}
      actions={
        mayFetch &&
        lines !== undefined && (
          <a className={cx(buttons["button"], buttons["go"])} href={datasetLines(it.id)} download={file}>
            Download {bytes(lines.size)}
          </a>
        )
      }
    >
      <dl className={styles["facts"]}>
        <div>
          <dt>Lines</dt>
          <dd className={styles["big"]}>{it.count.toLocaleString()}</dd>
        </div>
        {[...counts(it.card), ...figuresOf(it.card)].map(([name, count]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className={styles["big"]}>{SHARES.includes(name) ? percent(count) : figure(count)}</dd>
          </div>
        ))}
        <div>
          <dt>Frozen</dt>
          <dd>
            <time dateTime={it.created_at} title={exactly(it.created_at)}>
              {when(it.created_at)}
            </time>
            {it.job !== null && (
              <>
                {" "}
                by <Link to={`/p/${slug}/jobs/${String(it.job)}`}>job {it.job}</Link>
              </>
            )}
          </dd>
        </div>
      </dl>
      {mayFetch && lines !== undefined && <FirstLines id={it.id} count={it.count} />}
      <Card title="Fetch it from a program">
        {mayFetch ? (
          <div className={styles["stack"]}>
            <p>
              JSON lines, the same bytes each time. Make an <Link to="/tokens">access token</Link>, keep it as <code>LAUREL_TOKEN</code>, then:
            </p>
            <CopyLine label="Download with curl" text={curl} />
          </div>
        ) : (
          <Quiet>Researchers and admins can download it.</Quiet>
        )}
      </Card>
      <Card title="Digest">
        <CopyLine label="Digest" text={it.digest} />
      </Card>
      <Card title="How it was made">
        <dl className={styles["facts"]}>
          {made(it.card).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <details className={styles["raw"]}>
          <summary>The card, as JSON</summary>
          <CopyLine label="Card, as JSON" text={JSON.stringify(it.card, null, 2)} />
        </details>
      </Card>
    </Page>
  );
}

/** What the card says of how the lines were chosen, in words. */
function made(card: Readonly<Record<string, unknown>>): [string, string][] {
  const chosen = Object.entries((card["config"] ?? {}) as Record<string, unknown>);
  const rest = Object.entries(card).filter(([name, value]) => !SAID_ABOVE.includes(name) && typeof value !== "object");
  return [...chosen, ...rest].map(([name, value]) => [name.replaceAll("_", " "), inWords(name, value)]);
}

const NONE_IF_EMPTY = ["stop", "server_models"]; // else a list that is empty leaves nothing out

function inWords(name: string, value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length > 0 ? value.join(", ") : NONE_IF_EMPTY.includes(name) ? "none" : "all";
  return asText(value) === "" ? "none" : asText(value);
}

const SAID_ABOVE = ["kind", "count", "splits", "config"];
const SPLITS = ["train", "valid", "test"];

const SHARES = ["ended"];

/** What was found of the lines when they were made, such as how many responses came to their end. */
function figuresOf(card: Readonly<Record<string, unknown>>): [string, number][] {
  return Object.entries((card["evaluation"] ?? {}) as Record<string, unknown>)
    .filter((entry): entry is [string, number] => typeof entry[1] === "number")
    .map(([name, figure]) => [name.replaceAll("_", " "), figure]);
}

/** Counts per split, as the card gives them, training first. */
function counts(card: Readonly<Record<string, unknown>>): [string, number][] {
  return Object.entries((card["splits"] ?? {}) as Record<string, unknown>)
    .filter((entry): entry is [string, number] => typeof entry[1] === "number")
    .toSorted(([one], [other]) => SPLITS.indexOf(one) - SPLITS.indexOf(other));
}

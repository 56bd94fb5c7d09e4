import { Link, useParams } from "react-router";
import { messageOf } from "../api/client";
import { checkpointFile, useCheckpoint, usePromote } from "../api/models";
import { useRole, useSlug } from "../api/project";
import type { CheckpointDetail } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { CopyLine } from "../look/CopyLine";
import { bytes, digestStart } from "../look/numbers";
import { Page } from "../look/Page";
import { ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import { Table } from "../look/Table";
import { exactly, when } from "../look/times";
import { useToasts } from "../look/toasts";
import { Contests } from "./Contests";
import { evaluationOf, withoutFigures } from "./evaluation";
import { ModelCard } from "./ModelCard";
import { Lineage } from "./Lineage";
import { RewardFigures } from "./RewardFigures";
import styles from "./Models.module.css";

/** One checkpoint: where it comes from, what its card says, how to load it. */
export function ModelPage() {
  const slug = useSlug();
  const role = useRole();
  const id = Number(useParams()["id"]);
  const checkpoint = useCheckpoint(id);
  const back = { to: `/p/${slug}/models`, name: "Models" };
  if (checkpoint.data === undefined) {
    return (
      <Page title="Checkpoint" back={back}>
        {checkpoint.isError ? <ErrorNote error={checkpoint.error} onRetry={() => void checkpoint.refetch()} /> : <Skeleton blocks={2} />}
      </Page>
    );
  }
  const it = checkpoint.data;
  const evaluation = it.kind === "reward" ? evaluationOf(it.card) : null;
  return (
    <Page
      title={it.name}
      about={it.kind === "policy" ? "A policy: it writes responses." : "A reward model: it scores responses."}
      back={back}
      tags={it.is_champion && <Tag>★ champion</Tag>}
      actions={<Promote checkpoint={it} />}
    >
      <Lineage checkpoint={it} />
      {evaluation && <RewardFigures evaluation={evaluation} />}
      <div className={styles["columns"]}>
        <div className={styles["side"]}>
          {it.kind === "policy" && role !== "annotator" && <Contests slug={slug} checkpoint={it.id} name={it.name} mayRun={role === "admin" || role === "researcher"} />}
          <ModelCard card={evaluation ? withoutFigures(it.card) : it.card} />
        </div>
        <div className={styles["side"]}>
          <Card title="Load it">
            {role === "admin" || role === "researcher" ? <Snippet checkpoint={it} /> : <Quiet>Researchers and admins can fetch its files.</Quiet>}
          </Card>
          <Reigns checkpoint={it} />
          <Files checkpoint={it} slug={slug} />
        </div>
      </div>
    </Page>
  );
}

function Promote({ checkpoint }: { checkpoint: CheckpointDetail }) {
  const role = useRole();
  const promote = usePromote();
  const { say } = useToasts();
  if (checkpoint.is_champion) return null;
  const crown = (): void => {
    promote.mutate(checkpoint.id, {
      onSuccess: () => { say(`${checkpoint.name} is the champion now.`); },
      onError: (error) => { say(`It was not promoted: ${messageOf(error)}`); },
    });
  };
  return (
    <Button look="go" disabled={role !== "admin" || promote.isPending} title={role === "admin" ? undefined : "Only an admin may promote"} onClick={crown}>
      Promote to champion
    </Button>
  );
}

function Snippet({ checkpoint }: { checkpoint: CheckpointDetail }) {
  const folder = checkpoint.name.replaceAll(/[^\w.-]+/g, "-");
  const model = checkpoint.kind === "policy" ? "AutoModelForCausalLM" : "AutoModelForSequenceClassification";
  const base = `${window.location.origin}/api/v1/checkpoints/${String(checkpoint.id)}/files`;
  const names = checkpoint.files.map((file) => file.name).join(" ");
  const fetchIt = `for f in ${names}; do\n  curl -sSf -H "Authorization: Token $LAUREL_TOKEN" \\\n    --create-dirs -o ${folder}/$f ${base}/$f\ndone`;
  const loadIt = `from transformers import ${model}, AutoTokenizer\n\nmodel = ${model}.from_pretrained("${folder}")\ntokenizer = AutoTokenizer.from_pretrained("${folder}")`;
  return (
    <div className={styles["side"]}>
      <p>
        It is an ordinary transformers folder. Make an <Link to="/tokens">access token</Link>, keep it as <code>LAUREL_TOKEN</code>, fetch the files:
      </p>
      <CopyLine label="Fetch the files" text={fetchIt} />
      <p>and load them:</p>
      <CopyLine label="Load with transformers" text={loadIt} />
    </div>
  );
}

function Reigns({ checkpoint }: { checkpoint: CheckpointDetail }) {
  if (checkpoint.reigns.length === 0) return null;
  return (
    <Card title="Champion">
      <ul className={styles["reigns"]}>
        {checkpoint.reigns.map((reign) => (
          <li key={reign.since}>
            since{" "}
            <time dateTime={reign.since} title={exactly(reign.since)}>
              {when(reign.since)}
            </time>
            {reign.until !== null && ` until ${when(reign.until)}`}, {reign.by === null ? "by itself" : `promoted by ${reign.by}`}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Files({ checkpoint, slug }: { checkpoint: CheckpointDetail; slug: string }) {
  const role = useRole();
  const mayFetch = role === "admin" || role === "researcher";
  const total = checkpoint.files.reduce((sum, file) => sum + file.size, 0);
  return (
    <Card title="Files" aside={<Quiet>{bytes(total)}</Quiet>}>
      {checkpoint.files.length === 0 && <Quiet>The files are not in the store of this server.</Quiet>}
      {checkpoint.files.length > 0 && (
        <Table
          caption="Files"
          bare
          rows={checkpoint.files}
          id={(file) => file.name}
          columns={[
            {
              name: "Name",
              show: (file) =>
                mayFetch ? (
                  <a href={checkpointFile(checkpoint.id, file.name)} download>
                    {file.name}
                  </a>
                ) : (
                  file.name
                ),
            },
            { name: "Size", number: true, show: (file) => bytes(file.size) },
          ]}
        />
      )}
      <p className={styles["origin"]}>
        <Quiet>
          {checkpoint.job === null ? "It was brought in from outside." : <>Made by <Link to={`/p/${slug}/jobs/${String(checkpoint.job)}`}>job {checkpoint.job}</Link>.</>} Digest <code>{digestStart(checkpoint.digest)}</code>
        </Quiet>
      </p>
    </Card>
  );
}

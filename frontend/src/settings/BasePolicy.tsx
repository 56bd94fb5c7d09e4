import { type SubmitEvent, useState } from "react";
import { Link, useNavigate } from "react-router";
import { useStartJob } from "../api/jobs";
import { useCheckpoints } from "../api/models";
import { useRole } from "../api/project";
import { Button, ButtonLink } from "../look/Button";
import { Card } from "../look/Card";
import { Field } from "../look/Field";
import { ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import styles from "./Settings.module.css";

/** What the project's model begins as: published from the starter, a folder or a hub, and promoted like any other. */
export function BasePolicy({ slug }: { slug: string }) {
  const role = useRole();
  const policies = useCheckpoints(slug, "policy");
  const start = useStartJob();
  const navigate = useNavigate();
  const [model, setModel] = useState("");
  const newest = policies.data?.pages.flatMap((page) => page.results) ?? [];
  const champion = newest.find((each) => each.is_champion);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const body = { project: slug, kind: "policy.adopt", name: model.trim().split("/").at(-1)?.slice(0, 100) ?? "", config: { model: model.trim() }, inputs: {}, seed: 1 };
    start.mutate(body, { onSuccess: (job) => void navigate(`/p/${slug}/jobs/${String(job.id)}`) });
  };
  return (
    <Card title="Base policy" aside={champion && <Tag>★ {champion.name}</Tag>}>
      {policies.isPending && <Skeleton lines={2} />}
      {policies.isError && <ErrorNote error={policies.error} onRetry={() => void policies.refetch()} />}
      {policies.data && (
        <div className={styles["stack"]}>
          <p>
            {champion ? (
              <>
                <Link to={`/p/${slug}/models/${String(champion.id)}`}>{champion.name}</Link> is the champion: it is sampled from, talked to and trained on unless someone names another.
              </>
            ) : newest.length === 0 ? (
              "The project has no policy yet. The first one that is published becomes its champion."
            ) : (
              `The champion is older than the newest ${String(newest.length)} policies; it is among the models.`
            )}
          </p>
          {(role === "admin" || role === "researcher") && (
            <form className={styles["add"]} onSubmit={submit}>
              <Field label="Publish a model" hint="A folder on the worker's machine, or a name on a model hub. Empty: the starter's.">
                {(wiring) => <input {...wiring} autoCapitalize="none" spellCheck={false} maxLength={300} value={model} onChange={(event) => { setModel(event.target.value); }} />}
              </Field>
              <Button type="submit" disabled={start.isPending}>
                {start.isPending ? "Starting…" : "Publish"}
              </Button>
            </form>
          )}
          {start.isError && <ErrorNote error={start.error} />}
          <div>
            <ButtonLink small look="quiet" to={`/p/${slug}/models`}>
              Promote another one
            </ButtonLink>
            {role === "reviewer" && <Quiet>Researchers and admins can publish one.</Quiet>}
          </div>
        </div>
      )}
    </Card>
  );
}

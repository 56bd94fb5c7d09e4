import { useGuidelines } from "../api/guidelines";
import { Button } from "../look/Button";
import { Markdown } from "../look/Markdown";
import { ErrorNote, Quiet, Skeleton } from "../look/states";
import styles from "./Guidelines.module.css";

/** What annotators are told, beside the task. */
export function Guidelines({ slug, onClose }: { slug: string; onClose: () => void }) {
  const guidelines = useGuidelines(slug);
  return (
    <aside className={styles["aside"]} aria-label="Guidelines">
      <div className={styles["head"]}>
        <h2>Guidelines</h2>
        {guidelines.data?.version != null && <Quiet>version {guidelines.data.version}</Quiet>}
        <Button look="quiet" small onClick={onClose}>
          Close
        </Button>
      </div>
      {guidelines.isPending && <Skeleton lines={5} />}
      {guidelines.isError && <ErrorNote error={guidelines.error} onRetry={() => void guidelines.refetch()} />}
      {guidelines.data?.version === null && <Quiet>This project has no written guidelines. Prefer what is helpful, true and harmless.</Quiet>}
      {guidelines.data?.version != null && <Markdown text={guidelines.data.text} />}
    </aside>
  );
}

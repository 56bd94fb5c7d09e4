import { useFirstLines } from "../api/datasets";
import { Card } from "../look/Card";
import { ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import styles from "./Datasets.module.css";
import { type Glance, glanceAt } from "./glance";

const LONG = 1200;

/** What the first lines of a dataset say, to be read. */
export function FirstLines({ id, count }: { id: number; count: number }) {
  const lines = useFirstLines(id, count > 0);
  const read = (lines.data?.map(glanceAt) ?? []).filter(({ prompt, texts }) => prompt.length > 0 || texts.length > 0);
  if (count === 0 || (lines.isSuccess && read.length === 0)) return null;
  return (
    <Card title="Its first lines" aside={read.length < count && lines.isSuccess && <Quiet>{`${read.length.toLocaleString()} of ${count.toLocaleString()}`}</Quiet>}>
      {lines.isPending && <Skeleton lines={4} />}
      {lines.isError && <ErrorNote error={lines.error} onRetry={() => void lines.refetch()} />}
      <ol className={styles["lines"]}>
        {read.map((each, place) => (
          <Line key={place} {...each} />
        ))}
      </ol>
    </Card>
  );
}

function Line({ prompt, texts, asides }: Glance) {
  return (
    <li>
      <div className={styles["said"]}>
        {prompt.map((turn, place) => (
          <p key={place} dir="auto">
            {prompt.length > 1 && <Quiet>{turn.role} </Quiet>}
            {turn.content}
          </p>
        ))}
        {asides.map((each) => (
          <Tag key={each} tone="idle">
            {each}
          </Tag>
        ))}
      </div>
      <ul>
        {texts.map(({ text, rank }, place) => (
          <li key={place}>
            {rank !== null && <Tag tone="idle">{`rank ${String(rank)}`}</Tag>}
            <p dir="auto">{text.length > LONG ? `${text.slice(0, LONG)}…` : text}</p>
          </li>
        ))}
      </ul>
    </li>
  );
}

import { Link } from "react-router";
import { useReturned } from "../api/standing";
import { Card } from "../look/Card";
import { ErrorNote, Quiet } from "../look/states";
import { Time } from "../look/Time";
import { PAGE } from "./Done";
import styles from "./HomePage.module.css";

/** What reviewers ask me to look at again; what I change leaves the list. */
export function Returned({ slug }: { slug: string }) {
  const returned = useReturned(slug);
  const rows = returned.data ?? [];
  if (returned.isError) return <ErrorNote error={returned.error} safe="What you submitted is safe." onRetry={() => void returned.refetch()} />;
  if (rows.length === 0) return null;
  return (
    <Card title="Returned to you">
      <ul className={styles["returned"]}>
        {rows.map((row) => (
          <li key={row.lease}>
            <Link dir="auto" to={`/p/${slug}/${PAGE[row.kind]}/${row.lease}`}>
              {row.prompt}
            </Link>
            <p dir="auto">{row.comment}</p>
            <Quiet>
              {row.by} · <Time at={row.returned_at} />
            </Quiet>
          </li>
        ))}
      </ul>
    </Card>
  );
}

import { useDeferredValue, useState } from "react";
import { Link } from "react-router";
import { useHistory } from "../api/history";
import type { HistoryRow } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { ErrorNote, Quiet } from "../look/states";
import { Table } from "../look/Table";
import { Time } from "../look/Time";
import styles from "./HomePage.module.css";

export const PAGE: Record<HistoryRow["kind"], string> = { ranking: "rank", demonstration: "demonstrate" };

/** What I submitted, newest first; each opens again, to be read and changed. */
export function Done({ slug }: { slug: string }) {
  const [text, setText] = useState("");
  const wanted = useDeferredValue(text.trim());
  const history = useHistory(slug, wanted);
  const rows = history.data?.pages.flatMap((page) => page.results) ?? [];
  const nothing = rows.length === 0 && !history.isError;
  if (history.isPending || (nothing && wanted === "" && !history.isPlaceholderData)) return null;
  const search = (
    <input
      type="search"
      className={styles["search"]}
      dir="auto"
      aria-label="Look for words in what you did"
      placeholder="Look for words"
      maxLength={200}
      value={text}
      onChange={(event) => { setText(event.target.value); }}
    />
  );
  return (
    <Card title="What you did" aside={search}>
      {history.isError && <ErrorNote error={history.error} onRetry={() => void history.refetch()} />}
      {nothing && <Quiet>Nothing of yours holds these words.</Quiet>}
      {rows.length > 0 && (
        <Table
          caption="What you did, newest first"
          bare
          rows={rows}
          id={(row) => row.lease}
          columns={[
            { name: "Prompt", show: (row) => <Link dir="auto" to={`/p/${slug}/${PAGE[row.kind]}/${row.lease}`}>{row.prompt}</Link> },
            { name: "What", minor: true, show: (row) => row.kind },
            { name: "When", number: true, show: (row) => <When row={row} /> },
          ]}
        />
      )}
      {history.hasNextPage && (
        <Button look="quiet" small onClick={() => void history.fetchNextPage()}>
          Earlier
        </Button>
      )}
    </Card>
  );
}

function When({ row }: { row: HistoryRow }) {
  return (
    <>
      {row.changed_at !== null && (
        <Quiet>
          changed <Time at={row.changed_at} /> ·{" "}
        </Quiet>
      )}
      <Time at={row.submitted_at} />
    </>
  );
}

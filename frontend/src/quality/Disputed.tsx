import { useState } from "react";
import { Link } from "react-router";
import type { Quality } from "../api/shapes";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { percent } from "../look/numbers";
import { Quiet } from "../look/states";
import { Table } from "../look/Table";

const FIRST = 8;

/** The tasks on which people agree least; each opens for review. */
export function Disputed({ slug, found }: { slug: string; found: Quality }) {
  const [all, setAll] = useState(false);
  if (found.disputed.length === 0) return null;
  return (
    <Card title="Most disputed" aside={<Quiet>Often the task is hard, or the guidelines are silent.</Quiet>}>
      <Table
        caption="Most disputed tasks"
        bare
        rows={all ? found.disputed : found.disputed.slice(0, FIRST)}
        id={(row) => row.task}
        columns={[
          { name: "Prompt", show: (row) => <Link dir="auto" to={`/p/${slug}/review/${String(row.task)}`}>{row.prompt}</Link> },
          { name: "Annotators", number: true, minor: true, show: (row) => row.annotators },
          { name: "Agree on", number: true, show: (row) => percent(row.share) },
        ]}
      />
      {found.disputed.length > FIRST && (
        <Button look="quiet" small aria-expanded={all} onClick={() => { setAll(!all); }}>
          {all ? "Show fewer" : `Show all ${String(found.disputed.length)}`}
        </Button>
      )}
    </Card>
  );
}

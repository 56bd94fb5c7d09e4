import { useState } from "react";
import { useDeeds, useMembers } from "../api/members";
import { useSlug } from "../api/project";
import type { Deed } from "../api/shapes";
import { useWhole } from "../api/whole";
import { Button } from "../look/Button";
import { Field } from "../look/Field";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Skeleton } from "../look/states";
import { Table } from "../look/Table";
import { Time } from "../look/Time";
import styles from "./People.module.css";

/** Who did what in the project, newest first; rows are written once and never changed. */
export function DeedsPage() {
  const slug = useSlug();
  const [by, setBy] = useState("");
  const [did, setDid] = useState("");
  const deeds = useDeeds(slug, { by, did });
  const members = useMembers(slug);
  useWhole(members);
  const rows = (deeds.data?.pages.flatMap((page) => page.results) ?? []) as Deed[];
  const kinds = deeds.data?.pages[0]?.kinds ?? [];
  const people = (members.data?.pages.flatMap((page) => page.results) ?? []).filter((each) => each.role !== "annotator" || each.has_account);
  return (
    <Page title="Who did what" about="Decisions on the project, its people, prompts and labels. What annotators said is kept with the tasks; machine work with the jobs.">
      <div className={styles["filters"]}>
        <Field label="By">
          {(wiring) => (
            <select {...wiring} value={by} onChange={(event) => { setBy(event.target.value); }}>
              <option value="">Everyone</option>
              {people.map(({ user }) => (
                <option key={user.id} value={user.id}>
                  {user.name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="What">
          {(wiring) => (
            <select {...wiring} value={did} onChange={(event) => { setDid(event.target.value); }}>
              <option value="">Everything</option>
              {kinds.map((kind) => (
                <option key={kind.did} value={kind.did}>
                  {kind.words}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      {deeds.isPending && <Skeleton lines={6} />}
      {deeds.isError && <ErrorNote error={deeds.error} onRetry={() => void deeds.refetch()} />}
      {deeds.data && rows.length === 0 && <Empty title={by === "" && did === "" ? "Nothing was decided yet" : "Nothing of that kind"}>Each decision leaves a row here, with who took it and when.</Empty>}
      {rows.length > 0 && (
        <Table
          caption="Deeds, newest first"
          rows={rows}
          id={(row) => row.id}
          columns={[
            { name: "What", show: (row) => <Sentence deed={row} /> },
            { name: "When", number: true, show: (row) => <Time at={row.at} /> },
          ]}
        />
      )}
      {deeds.hasNextPage && (
        <div>
          <Button onClick={() => void deeds.fetchNextPage()}>Earlier</Button>
        </div>
      )}
    </Page>
  );
}

function Sentence({ deed }: { deed: Deed }) {
  const { by, words, to, about, details } = deed;
  const more = Object.keys(details).length > 0;
  return (
    <div className={styles["deed"]}>
      <b>{by === null ? "A command" : by.name}</b> {words}
      {to !== null && (
        <>
          {" "}
          <b>{to.name}</b>
        </>
      )}
      {about !== "" && <>{to === null ? " " : ": "}{about}</>}
      {more && (
        <details>
          <summary>Details</summary>
          <pre>{JSON.stringify(details, null, 2)}</pre>
        </details>
      )}
    </div>
  );
}

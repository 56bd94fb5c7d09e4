import { type SubmitEvent, useState } from "react";
import { ApiError } from "../api/client";
import { useErase, useHoldings } from "../api/members";
import type { Holding, Member } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { Field } from "../look/Field";
import { ErrorNote, Skeleton } from "../look/states";
import { wrongAt } from "../machine/order";
import styles from "./People.module.css";

/** Forgetting one person, for good: what stays, where it is, and their name typed out. */
export function EraseDialog({ slug, member, onClose }: { slug: string; member: Member; onClose: () => void }) {
  const { user } = member;
  const holdings = useHoldings(slug, user.id);
  const erase = useErase(slug);
  const [typed, setTyped] = useState("");
  const wrong = erase.error instanceof ApiError ? erase.error.fields : {};
  if (erase.isSuccess) {
    return (
      <Dialog title={`${user.name} is erased`} onClose={onClose}>
        <p>
          Their labels stay under <code>annotator-{user.id}</code>. They cannot sign in any more.
        </p>
        <Holdings slug={slug} found={erase.data.datasets} />
        <div>
          <Button onClick={onClose}>Close</Button>
        </div>
      </Dialog>
    );
  }
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    erase.mutate({ user: user.id, username: typed });
  };
  return (
    <Dialog title={`Erase ${user.name}?`} onClose={onClose}>
      <form className={styles["stack"]} onSubmit={submit} noValidate>
        <p>
          Name, user name, e-mail address, password and drafts are deleted, in every project. What they said stays, under <code>annotator-{user.id}</code>.
          This cannot be undone.
        </p>
        {holdings.isPending && <Skeleton lines={2} />}
        {holdings.isError && <ErrorNote error={holdings.error} onRetry={() => void holdings.refetch()} />}
        {holdings.data && <Holdings slug={slug} found={holdings.data.datasets} />}
        <Field label={`To confirm, write the user name: ${user.username}`} wrong={wrongAt(wrong, "username")}>
          {(wiring) => <input {...wiring} autoComplete="off" autoCapitalize="none" value={typed} onChange={(event) => { setTyped(event.target.value); }} />}
        </Field>
        {erase.isError && wrongAt(wrong, "username") === undefined && <ErrorNote error={erase.error} safe="Nothing was erased." />}
        <div>
          <Button type="submit" look="danger" disabled={erase.isPending || typed !== user.username}>
            {erase.isPending ? "Erasing…" : `Erase ${user.name} for good`}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Holdings({ slug, found }: { slug: string; found: readonly Holding[] }) {
  if (found.length === 0) return <p>No dataset of this project holds words of theirs.</p>;
  return (
    <div>
      <p>
        {found.length === 1 ? "One dataset holds" : `${String(found.length)} datasets hold`} words of theirs, under the pseudonym. Datasets never change: take a new
        one, or train without them.
      </p>
      <ul className={styles["list"]}>
        {found.map((each) => (
          <li key={each.id}>
            <ButtonLink look="quiet" small to={`/p/${slug}/datasets/${String(each.id)}`}>
              {each.name}
            </ButtonLink>{" "}
            {each.words.toLocaleString()} {each.kind}
          </li>
        ))}
      </ul>
    </div>
  );
}

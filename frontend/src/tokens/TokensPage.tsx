import { useState } from "react";
import { messageOf } from "../api/client";
import { useCreateToken, useDeleteToken, useTokens } from "../api/tokens";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { CopyLine } from "../look/CopyLine";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Skeleton } from "../look/states";
import { Table } from "../look/Table";
import { exactly, when } from "../look/times";
import { useToasts } from "../look/toasts";
import styles from "./TokensPage.module.css";

/** Tokens for programs that speak for me. */
export function TokensPage() {
  const tokens = useTokens();
  const create = useCreateToken();
  const remove = useDeleteToken();
  const { say, later } = useToasts();
  const [leaving, setLeaving] = useState<readonly string[]>([]);
  const rows = tokens.data?.filter((token) => !leaving.includes(token.id)) ?? [];
  const make = (): void => {
    create.mutate(undefined, { onError: (error) => { say(`No token was made: ${messageOf(error)}`); } });
  };
  const end = (id: string): void => {
    setLeaving((ids) => [...ids, id]);
    later(
      `The token ${id} ends.`,
      () => {
        remove.mutate(id, {
          onError: (error) => {
            say(`The token ${id} was not deleted: ${messageOf(error)}`);
            setLeaving((ids) => ids.filter((other) => other !== id));
          },
        });
      },
      () => { setLeaving((ids) => ids.filter((other) => other !== id)); },
    );
  };
  return (
    <Page
      title="Access tokens"
      about="A program that has one may do what you may do. Treat it like your password."
      narrow
      actions={
        <Button look="go" disabled={create.isPending} onClick={make}>
          Make a token
        </Button>
      }
    >
      {create.data && (
        <Card title="Your new token">
          <div className={styles["stack"]}>
            <p>
              <b>It is shown this once.</b> Keep it where the program finds it, for example as <code>LAUREL_TOKEN</code>.
            </p>
            <CopyLine label="New token" text={create.data.token} />
          </div>
        </Card>
      )}
      {tokens.isPending && <Skeleton lines={3} />}
      {tokens.isError && <ErrorNote error={tokens.error} onRetry={() => void tokens.refetch()} />}
      {tokens.data && rows.length === 0 && <Empty title="No tokens">Scripts that download datasets and models need one.</Empty>}
      {rows.length > 0 && (
        <Table
          caption="Tokens"
          rows={rows}
          id={(token) => token.id}
          columns={[
            { name: "Begins with", show: (token) => <code>{token.id}…</code> },
            {
              name: "Made",
              show: (token) => (
                <time dateTime={token.created_at} title={exactly(token.created_at)}>
                  {when(token.created_at)}
                </time>
              ),
            },
            {
              name: "Do",
              number: true,
              show: (token) => (
                <Button small look="danger" aria-label={`Delete: token ${token.id}`} onClick={() => { end(token.id); }}>
                  Delete
                </Button>
              ),
            },
          ]}
        />
      )}
    </Page>
  );
}

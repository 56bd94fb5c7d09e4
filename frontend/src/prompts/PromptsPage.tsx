import { useDeferredValue, useState } from "react";
import { messageOf } from "../api/client";
import { useRole, useSlug } from "../api/project";
import { useChangePrompts, usePrompts, type WantedPrompts } from "../api/prompts";
import type { Prompt } from "../api/shapes";
import { Button, ButtonLink } from "../look/Button";
import { Page } from "../look/Page";
import { Empty, ErrorNote, Quiet, Skeleton, Tag } from "../look/states";
import { Table } from "../look/Table";
import { Time } from "../look/Time";
import { useToasts } from "../look/toasts";
import { ChangeBar } from "./ChangeBar";
import { Filters } from "./Filters";
import styles from "./Prompts.module.css";
import { type Change, changed, EVERYTHING } from "./words";

/** What annotators are asked: found, tagged, put first or last, retired. */
export function PromptsPage() {
  const slug = useSlug();
  const role = useRole();
  const [wanted, setWanted] = useState<WantedPrompts>(EVERYTHING);
  const prompts = usePrompts(slug, useDeferredValue(wanted));
  const change = useChangePrompts(slug);
  const { say } = useToasts();
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const rows = prompts.data?.pages.flatMap((page) => page.results) ?? [];
  const picked = rows.filter((row) => chosen.has(row.id));
  const looking = JSON.stringify(wanted) !== JSON.stringify(EVERYTHING);
  const pick = (ids: readonly number[], on: boolean): void => {
    setChosen((before) => {
      const after = new Set(before);
      for (const id of ids) if (on) after.add(id); else after.delete(id);
      return after;
    });
  };
  const apply = (wish: Change): void => {
    const ids = picked.map((row) => row.id);
    const turned = picked.filter((row) => (row.retired_at !== null) !== wish.retired).map((row) => row.id);
    const back = (): void => {
      change.mutate(
        { retired: !wish.retired, priority: null, add_tags: [], remove_tags: [], demonstrate: false, prompts: turned },
        { onError: (error) => { say(`Nothing was changed: ${messageOf(error)}`); } },
      );
    };
    change.mutate(
      { retired: null, priority: null, add_tags: [], remove_tags: [], demonstrate: false, ...wish, prompts: ids },
      {
        onSuccess: (done) => {
          say(changed(wish, ids.length, done.opened), wish.retired === undefined ? undefined : back);
          setChosen(new Set());
        },
        onError: (error) => { say(`Nothing was changed: ${messageOf(error)}`); },
      },
    );
  };
  const mayBring = role === "admin" || role === "researcher";
  const bring = mayBring ? (
    <ButtonLink look="go" to="import">
      Bring a file in
    </ButtonLink>
  ) : undefined;
  return (
    <Page title="Prompts" about="Each text once, in a split that is decided when it comes in and stays." actions={bring}>
      <Filters wanted={wanted} onChange={setWanted} />
      {prompts.isPending && <Skeleton lines={8} />}
      {prompts.isError && <ErrorNote error={prompts.error} onRetry={() => void prompts.refetch()} />}
      {prompts.data && rows.length === 0 && looking && (
        <Empty title="No prompt is like that" action={<Button onClick={() => { setWanted(EVERYTHING); }}>Show all</Button>}>
          Words are looked for in the whole conversation, each of them.
        </Empty>
      )}
      {prompts.data && rows.length === 0 && !looking && (
        <Empty title="No prompts yet" action={bring}>
          What people and models are asked comes from a file of JSON lines or CSV, or from conversations in the chat.
        </Empty>
      )}
      {rows.length > 0 && (
        <>
          <ChangeBar rows={rows} picked={picked} pending={change.isPending} onPick={pick} onChange={apply} />
          <Table
            caption="Prompts, newest first"
            rows={rows}
            id={(row) => row.id}
            columns={[
              {
                name: "Prompt",
                show: (row) => <Row prompt={row} chosen={chosen.has(row.id)} onPick={(on) => { pick([row.id], on); }} onTag={(tag) => { setWanted({ ...wanted, tag }); }} />,
              },
              { name: "Came in", number: true, minor: true, show: (row) => <Time at={row.created_at} /> },
            ]}
          />
        </>
      )}
      {prompts.hasNextPage && (
        <div>
          <Button onClick={() => void prompts.fetchNextPage()}>Older prompts</Button>
        </div>
      )}
    </Page>
  );
}

/** "train · starter · reader-7 · priority 3" */
function about({ split, source, source_user: user, priority }: Prompt): string {
  return [split, source || "written here", user, priority === 0 ? "" : `priority ${String(priority)}`].filter(Boolean).join(" · ");
}

interface RowProps {
  prompt: Prompt;
  chosen: boolean;
  onPick: (on: boolean) => void;
  onTag: (tag: string) => void;
}

function Row({ prompt, chosen, onPick, onTag }: RowProps) {
  const { title, messages } = prompt;
  const whole = messages.length > 1 || (messages[0]?.content.length ?? 0) > 150;
  return (
    <div className={styles["row"]}>
      <label>
        <input type="checkbox" checked={chosen} aria-label={`Choose: ${title}`} onChange={(event) => { onPick(event.target.checked); }} />
      </label>
      <div>
        {whole ? (
          <details>
            <summary dir="auto">{title}</summary>
            <ol className={styles["turns"]}>
              {messages.map((message, index) => (
                <li key={`${String(index)} ${message.role}`}>
                  <Quiet>{message.role}</Quiet>
                  <p dir="auto">{message.content}</p>
                </li>
              ))}
            </ol>
          </details>
        ) : (
          <bdi>{title}</bdi>
        )}
        <span className={styles["tags"]}>
          <Quiet>{about(prompt)}</Quiet>
          {prompt.retired_at !== null && <Tag tone="idle">retired</Tag>}
          {prompt.tags.map((tag) => (
            <button key={tag} type="button" className={styles["tag"]} title={`Show what is tagged ${tag}`} onClick={() => { onTag(tag); }}>
              {tag}
            </button>
          ))}
        </span>
      </div>
    </div>
  );
}

import { useEffect, useRef } from "react";
import { useNavigate } from "react-router";
import { type Guidelines, useGuidelines, useReadGuidelines } from "../api/guidelines";
import { Button } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { Kbd } from "../look/Kbd";
import { Markdown } from "../look/Markdown";
import { ErrorNote } from "../look/states";
import { changesBetween } from "./changes";
import styles from "./Guidelines.module.css";

/** Guidelines that someone has not read yet stand before their next task, once. */
export function NewGuidelines({ slug, under }: { slug: string; under: number | null }) {
  const { data, refetch } = useGuidelines(slug);
  const behind = data !== undefined && under !== null && under > (data.version ?? 0);
  useEffect(() => {
    if (behind) void refetch();
  }, [behind, refetch]);
  if (data?.version == null || data.version <= (data.read ?? 0)) return null;
  return <ReadThem key={data.version} slug={slug} guidelines={data} version={data.version} />;
}

function ReadThem({ slug, guidelines, version }: { slug: string; guidelines: Guidelines; version: number }) {
  const navigate = useNavigate();
  const done = useRef<HTMLButtonElement>(null);
  const read = useReadGuidelines(slug);
  const isFirst = guidelines.read === null;
  return (
    <Dialog title={isFirst ? "Guidelines" : "The guidelines have changed"} wide first={done} onClose={() => void navigate(`/p/${slug}`)}>
      <p className={styles["about"]}>
        {isFirst ? "Read them before your first task. They stay one key away, beside it." : "You judge by them from here on. What is new is marked; what is gone is struck out."}
      </p>
      {isFirst ? <Markdown text={guidelines.text} /> : <Changes before={guidelines.read_text} after={guidelines.text} />}
      {read.isError && <ErrorNote error={read.error} />}
      <div className={styles["foot"]}>
        <Button ref={done} look="go" disabled={read.isPending} onClick={() => { read.mutate(version); }}>
          I have read them <Kbd>⏎</Kbd>
        </Button>
      </div>
    </Dialog>
  );
}

function Changes({ before, after }: { before: string; after: string }) {
  return (
    <div>
      {changesBetween(before, after).map(({ text, fate }, index) => (
        <div key={`${String(index)} ${fate}`} className={styles["paragraph"]} data-fate={fate}>
          {fate !== "kept" && <b>{fate === "added" ? "New" : "Gone"}</b>}
          {fate === "removed" ? (
            <del>
              <Markdown text={text} />
            </del>
          ) : (
            <Markdown text={text} />
          )}
        </div>
      ))}
    </div>
  );
}

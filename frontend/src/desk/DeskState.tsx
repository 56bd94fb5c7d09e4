import { ApiError, messageOf } from "../api/client";
import { Button, ButtonLink } from "../look/Button";
import { Empty, ErrorNote, Note, Skeleton } from "../look/states";
import type { Desk } from "./useDesk";

const RULES: Record<string, { title: string; to: string; action: string }> = {
  not_qualified: { title: "Not yet", to: "", action: "Go to your page" },
  qualify_first: { title: "First tasks first", to: "/rank", action: "Rank them" },
  daily_limit_reached: { title: "Enough for today", to: "", action: "Go to your page" },
};

/** Whether a rule of the project hands out no more to someone, for now. */
export function isRule(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code in RULES;
}

/** What a rule of the project says to someone, and where they can go from here. */
export function Refused({ error, slug }: { error: unknown; slug: string }) {
  const rule = RULES[error instanceof ApiError ? error.code : ""];
  return (
    <Empty title={rule?.title ?? "Not now"} action={<ButtonLink to={`/p/${slug}${rule?.to ?? ""}`}>{rule?.action ?? "Go to your page"}</ButtonLink>}>
      {messageOf(error)}
    </Empty>
  );
}

/** Everything that a desk may say when there is no task, and what happened to one that is gone. */
export function DeskState({ desk, slug, none }: { desk: Desk; slug: string; none: string }) {
  return (
    <>
      {desk.notice !== null && (
        <Note action={<Button small onClick={desk.dismiss}>Understood</Button>}>{desk.notice}</Note>
      )}
      {desk.phase === "loading" && <Skeleton lines={1} blocks={2} />}
      {desk.phase === "empty" && (
        <Empty title="No tasks open" action={<Button onClick={desk.lookAgain}>Look again</Button>}>
          {none} This page looks again by itself.
        </Empty>
      )}
      {desk.phase === "offline" && (
        <Empty title="You are offline" action={<Button onClick={desk.lookAgain}>Try again</Button>}>
          {desk.waiting > 0
            ? `${String(desk.waiting)} finished ${desk.waiting === 1 ? "task is" : "tasks are"} kept on this device and will be sent, once, when the server can be reached.`
            : "Nothing is lost. The next task comes when the server can be reached."}
        </Empty>
      )}
      {desk.phase === "refused" && <Refused error={desk.error} slug={slug} />}
      {desk.phase === "failed" && <ErrorNote error={desk.error} safe="What you submitted is safe." onRetry={desk.lookAgain} />}
    </>
  );
}

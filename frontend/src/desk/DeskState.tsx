import { Button } from "../look/Button";
import { Empty, ErrorNote, Note, Skeleton } from "../look/states";
import type { Desk } from "./useDesk";

/** Everything that a desk may say when there is no task, and what happened to one that is gone. */
export function DeskState({ desk, none }: { desk: Desk; none: string }) {
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
      {desk.phase === "failed" && <ErrorNote error={desk.error} safe="What you submitted is safe." onRetry={desk.lookAgain} />}
    </>
  );
}

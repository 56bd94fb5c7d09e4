import type { JobState } from "../api/shapes";
import { Tag } from "../look/states";
import { stateOf } from "./words";

export function StateTag({ job }: { job: { state: JobState; cancel_requested_at?: string | null } }) {
  const { name, tone } = stateOf(job);
  return (
    <Tag tone={tone}>
      {job.state === "succeeded" && "✓ "}
      {name}
    </Tag>
  );
}

import { exactly, when } from "./times";

/** An instant: the clock for today, the day for others, the whole of it on hover. */
export function Time({ at }: { at: string }) {
  return (
    <time dateTime={at} title={exactly(at)}>
      {when(at)}
    </time>
  );
}

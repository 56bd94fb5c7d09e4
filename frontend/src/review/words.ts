import type { Shown } from "../api/review";
import type { TaskRow } from "../api/shapes";
import type { Tone } from "../look/states";

/** What can be looked at, and what is said when there is none of it. */
export const SHOWN: { show: Shown; name: string; none: string }[] = [
  { show: "shared", name: "Judged by several", none: "No task was judged by two annotators yet. Settings say how many judge the same one." },
  { show: "unreviewed", name: "Not reviewed", none: "Everything that was said is reviewed." },
  { show: "returned", name: "Returned", none: "Nothing waits for its annotator." },
  { show: "set_aside", name: "Set aside", none: "No task was skipped so often that it was set aside." },
  { show: "settled", name: "Settled", none: "No task was settled yet." },
  { show: "known", name: "Known answers", none: "No task's answer is known yet. Open one that was judged well, and make its answer known." },
  { show: "all", name: "All", none: "There are no tasks yet. They come with samples, with imported judgements, and with prompts that want demonstrations." },
];

/** How a task stands, in a word. */
export function standing(task: TaskRow): { name: string; tone: Tone } | null {
  if (task.purpose === "gold") return { name: "gold", tone: "good" };
  if (task.purpose === "qualification") return { name: "qualification", tone: "good" };
  if (task.settled) return { name: "settled", tone: "good" };
  if (task.state === "set_aside") return { name: `set aside after ${String(task.skips)} skips`, tone: "warn" };
  if (task.returned > 0) return { name: `${String(task.returned)} returned`, tone: "warn" };
  if (task.state === "retired") return { name: "not handed out", tone: "idle" };
  if (task.words > 0 && task.accepted === task.words) return { name: "accepted", tone: "good" };
  if (task.words < task.seats) return { name: "open", tone: "idle" };
  return null;
}

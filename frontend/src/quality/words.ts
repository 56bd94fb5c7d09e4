import type { Estimate } from "../api/shapes";
import { percent } from "../look/numbers";

/** 84 % (81 to 87). */
export function shareWords(found: Estimate | null): string {
  if (found === null) return "–";
  if (found.low === null || found.high === null) return percent(found.value);
  return `${percent(found.value)} (${String(Math.round(100 * found.low))} to ${String(Math.round(100 * found.high))})`;
}

/** 0.84 (0.81 to 0.87). */
export function alphaWords(found: Estimate | null): string {
  if (found === null) return "–";
  const value = found.value.toFixed(2);
  return found.low === null || found.high === null ? value : `${value} (${found.low.toFixed(2)} to ${found.high.toFixed(2)})`;
}

/** What a figure of agreement is worth, in a word; the bounds are Krippendorff's (2004). */
export function worth(alpha: number): string {
  return alpha >= 0.8 ? "reliable" : alpha >= 0.667 ? "tentative" : "weak";
}

export function secondsWords(seconds: number): string {
  if (seconds < 90) return `${String(Math.round(seconds))} s`;
  return `${(seconds / 60).toLocaleString(undefined, { maximumFractionDigits: 1 })} min`;
}

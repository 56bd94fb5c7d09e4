import type { Estimate } from "../api/shapes";
import { cx } from "../look/cx";
import styles from "./Quality.module.css";

interface Props {
  found: Estimate | null;
  /** What it says, for those who do not see it. */
  label: string;
  from?: number;
  to?: number;
  /** A dashed line: what would be expected, or what all together have. */
  line?: number | undefined;
  hollow?: boolean;
}

/** A figure as a dot with its 95 % interval, on an axis that its neighbours share. */
export function Whisker({ found, label, from = 0, to = 1, line, hollow = false }: Props) {
  const at = (value: number): number => 100 * Math.max(0, Math.min(1, (value - from) / (to - from)));
  const low = found?.low ?? null;
  const high = found?.high ?? null;
  return (
    <span className={cx(styles["whisker"], hollow && styles["hollow"])} role="img" aria-label={label} title={label}>
      {line !== undefined && <span className={styles["expected"]} style={{ insetInlineStart: `${String(at(line))}%` }} />}
      {low !== null && high !== null && (
        <span className={styles["interval"]} style={{ insetInlineStart: `${String(at(low))}%`, insetInlineEnd: `${String(100 - at(high))}%` }} />
      )}
      {found !== null && <span className={styles["dot"]} style={{ insetInlineStart: `${String(at(found.value))}%` }} />}
    </span>
  );
}

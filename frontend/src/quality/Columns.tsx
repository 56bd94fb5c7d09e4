import styles from "./Quality.module.css";

/** How often each of a few values occurs, as columns side by side. */
export function Columns({ counts, label }: { counts: readonly number[]; label: string }) {
  const most = Math.max(1, ...counts);
  const told = `${label}: ${counts.map((count) => count.toLocaleString()).join(", ")}`;
  return (
    <svg className={styles["columns"]} viewBox={`0 0 ${10 * counts.length} 30`} preserveAspectRatio="none" role="img" aria-label={told}>
      <title>{told}</title>
      {counts.map((count, index) => {
        const height = count === 0 ? 0 : Math.max(1, (28 * count) / most);
        return <rect key={`${String(index)} of them`} x={10 * index + 1} width="8" y={29 - height} height={height} />;
      })}
      <line className={styles["axis"]} x1="0" x2={10 * counts.length} y1="29.5" y2="29.5" />
    </svg>
  );
}

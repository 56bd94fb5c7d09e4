import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { figure } from "../look/numbers";
import styles from "./Curves.module.css";
import { aligned, type Line } from "./panels";

const HEIGHT = 180;
const COLOURS = ["--laurel", "--blue", "--amber", "--red"];

/** Colours of the theme that is on, as the canvas needs them. */
function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A number beside an axis, as short as it can be: 1e-4. */
function tick(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-3 ? Number(value.toPrecision(2)).toExponential() : figure(value);
}

function useTheme(): boolean {
  const [dark, setDark] = useState(() => window.matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = window.matchMedia("(prefers-color-scheme: dark)");
    const change = (): void => { setDark(query.matches); };
    query.addEventListener("change", change);
    return () => { query.removeEventListener("change", change); };
  }, []);
  return dark;
}

const MARK = 9;

/** A dashed line with a triangle on top at each step that is marked. */
function drawMarks(plot: uPlot, marks: readonly number[]): void {
  const { ctx, bbox } = plot;
  const pixel = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--red");
  ctx.lineWidth = pixel;
  for (const step of marks) {
    const x = plot.valToPos(step, "x", true);
    ctx.setLineDash([3 * pixel, 3 * pixel]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x, bbox.top - 2 * pixel);
    ctx.lineTo(x - (MARK / 2) * pixel, bbox.top + (MARK - 2) * pixel);
    ctx.lineTo(x + (MARK / 2) * pixel, bbox.top + (MARK - 2) * pixel);
    ctx.fill();
  }
  ctx.restore();
}

function options(lines: readonly Line[], width: number, marks: { current: readonly number[] }, onCursor: (index: number | null) => void): uPlot.Options {
  const ink = colour("--ink-3");
  const grid = { stroke: colour("--line"), width: 1 };
  const font = `12px ${colour("--font")}`;
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "curves", scales: ["x", null] }, y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: false } },
    axes: [
      { stroke: ink, font, grid: { show: false }, ticks: { show: false }, space: 80, size: 28 },
      { stroke: ink, font, grid, ticks: { show: false }, size: 46, space: 36, values: (_plot, splits) => splits.map(tick) },
    ],
    series: [
      {},
      ...lines.map((line, index) => {
        const isLimit = line.name.includes("ceiling");
        return {
          label: line.name,
          stroke: isLimit ? ink : colour(COLOURS[index % COLOURS.length] ?? "--laurel"),
          width: index === 0 ? 2 : 1.5,
          spanGaps: true,
          points: { show: line.curve.length < 30, size: 5 },
          ...(isLimit && { dash: [4, 4] }),
        };
      }),
    ],
    hooks: { setCursor: [(plot) => { onCursor(plot.cursor.idx ?? null); }], draw: [(plot) => { drawMarks(plot, marks.current); }] },
  };
}

const NONE: readonly number[] = [];

/** Lines over steps, some of them marked. Hovering or the arrow keys read out every line at one step, in all charts at once. */
export function Chart({ title, lines, marks = NONE }: { title: string; lines: readonly Line[]; marks?: readonly number[] }) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const dark = useTheme();
  const [at, setAt] = useState<number | null>(null);
  const { steps, values } = useMemo(() => aligned(lines), [lines]);
  const names = lines.map((line) => line.name).join(" ");
  const data = useRef<uPlot.AlignedData>([steps, ...values]);
  const latest = useRef(lines);
  const marked = useRef(marks);

  useEffect(() => {
    marked.current = marks;
    data.current = [steps, ...values];
    latest.current = lines;
    plot.current?.setData(data.current);
  }, [steps, values, lines, marks]);

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const made = new uPlot(options(latest.current, element.clientWidth, marked, setAt), data.current, element);
    plot.current = made;
    const watch = new ResizeObserver(() => { made.setSize({ width: element.clientWidth, height: HEIGHT }); });
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [names, dark]);

  const shown = at ?? steps.length - 1;
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    const made = plot.current;
    if (by === undefined || made === null) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(steps.length - 1, shown + by));
    made.setCursor({ left: made.valToPos(steps[next] ?? 0, "x"), top: HEIGHT / 2 });
  };
  return (
    <figure className={styles["figure"]}>
      <figcaption className={styles["caption"]}>
        <b>{title}</b>
        <span className={styles["step"]}>step {(steps[shown] ?? 0).toLocaleString()}</span>
        <ul className={styles["readout"]}>
          {lines.map((line, index) => (
            <li key={line.name} data-line={line.name.includes("ceiling") ? "limit" : index % COLOURS.length}>
              {(lines.length > 1 || line.role !== "training") && <span>{line.name.includes("ceiling") ? "ceiling" : line.role}</span>}
              <b>{figure(lastAt(values[index], shown))}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div
        ref={frame}
        className={styles["plot"]}
        role="slider"
        aria-label={`${title}: read along the steps`}
        aria-valuemin={steps[0] ?? 0}
        aria-valuemax={steps.at(-1) ?? 0}
        aria-valuenow={steps[shown] ?? 0}
        aria-valuetext={`Step ${String(steps[shown] ?? 0)}: ${lines.map((line, index) => `${line.role} ${figure(lastAt(values[index], shown))}`).join(", ")}`}
        tabIndex={0}
        onKeyDown={step}
      />
    </figure>
  );
}

/** The value at a step, or the last one before it: looks at the valid set are rarer than steps. */
function lastAt(values: readonly (number | null)[] | undefined, index: number): number | null {
  return values?.slice(0, index + 1).findLast((value) => value !== null) ?? null;
}

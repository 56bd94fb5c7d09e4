import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { Button } from "../look/Button";
import { Card } from "../look/Card";
import { type Column, Table } from "../look/Table";
import { between, type Figure, share } from "./evaluation";
import styles from "./Plot.module.css";

export interface Point extends Figure {
  /** What is measured there, in words: "3 steps or more". */
  name: string;
  /** The same, as short as an axis needs it. */
  tick?: string;
  /** Where along the axis, from 0 to 1; evenly spaced where left out. */
  at?: number;
}

interface Props {
  title: string;
  /** What one sees here, in a sentence. */
  about: string;
  points: readonly Point[];
  /** Lowest and highest share on the vertical axis. */
  from: number;
  to: number;
  /** A share that cannot be passed, drawn as a dashed line with its name. */
  limit?: { value: number; name: string } | undefined;
  /** Draw the dashed line on which promise and outcome are equal. */
  diagonal?: boolean;
  /** Join the points by a line. */
  joined?: boolean;
  /** Ticks along the axis where points do not name themselves. */
  ticks?: readonly { at: number; name: string }[];
  /** Names of the two axes. */
  across: string;
  /** What the points are counts of. */
  unit: string;
}

const HEIGHT = 220;
const MARGIN = { left: 44, right: 16, top: 12, bottom: 40 };

/** Shares with their intervals. Hovering or the arrow keys read out one after the other; the table is one click away. */
export function Plot(props: Props) {
  const [table, setTable] = useState(false);
  const { title, about, points } = props;
  return (
    <Card
      title={title}
      aside={
        <Button look="quiet" small aria-pressed={table} aria-label={`${table ? "Chart" : "Table"} of ${title}`} onClick={() => { setTable(!table); }}>
          {table ? "Chart" : "Table"}
        </Button>
      }
    >
      <p className={styles["about"]}>{about}</p>
      {table ? <Table caption={title} bare rows={points} id={(point) => point.name} columns={columns(props)} /> : <Drawn {...props} />}
    </Card>
  );
}

function columns({ across, unit }: Props): Column<Point>[] {
  return [
    { name: across, show: (point) => point.name },
    { name: "Agrees", number: true, show: (point) => share(point.value) },
    { name: "95 %", number: true, show: (point) => between(point) || "–" },
    { name: unit, number: true, show: (point) => point.count.toLocaleString() },
  ];
}

function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const watch = new ResizeObserver(() => { setWidth(element.clientWidth); });
    watch.observe(element);
    return () => { watch.disconnect(); };
  }, []);
  return [frame, width];
}

function Drawn({ title, points, from, to, limit, diagonal = false, joined = false, ticks, across, unit }: Props) {
  const [frame, width] = useWidth();
  const [shown, setShown] = useState(points.length - 1);
  const inner = Math.max(0, width - MARGIN.left - MARGIN.right);
  const x = (at: number): number => MARGIN.left + at * inner;
  const y = (value: number): number => MARGIN.top + (1 - (value - from) / (to - from)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const where = points.map((point, index) => x(point.at ?? (index + 0.5) / points.length));
  const lines = Array.from({ length: Math.round((to - from) * 10) + 1 }, (_, index) => from + index / 10);
  const everyOther = lines.length > 6 ? lines.filter((_, index) => index % 2 === 0) : lines;
  const point = points[shown];
  const marks = ticks ?? points.map((each, index) => ({ at: each.at ?? (index + 0.5) / points.length, name: each.tick ?? each.name }));

  const step = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -points.length, End: points.length }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    setShown(Math.max(0, Math.min(points.length - 1, shown + by)));
  };
  const hover = (event: PointerEvent): void => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const distances = where.map((place) => Math.abs(place - left));
    setShown(distances.indexOf(Math.min(...distances)));
  };
  return (
    <>
      <p className={styles["readout"]}>
        {point && (
          <>
            {point.name}: <b>{share(point.value)}</b>{" "}
            <span>
              {between(point)} · {point.count.toLocaleString()} {unit}
            </span>
          </>
        )}
      </p>
      <div
        ref={frame}
        className={styles["plot"]}
        role="slider"
        tabIndex={0}
        aria-label={`${title}: read point by point`}
        aria-valuemin={1}
        aria-valuemax={points.length}
        aria-valuenow={shown + 1}
        aria-valuetext={point ? `${point.name}: ${share(point.value)}, ${between(point)}` : ""}
        onKeyDown={step}
        onPointerMove={hover}
      >
        <svg width={width} height={HEIGHT} viewBox={`0 0 ${String(Math.max(1, width))} ${String(HEIGHT)}`} aria-hidden="true">
          {everyOther.map((value) => (
            <g key={value}>
              <line className={styles["grid"]} x1={MARGIN.left} x2={width - MARGIN.right} y1={y(value)} y2={y(value)} />
              <text className={styles["tick"]} x={MARGIN.left - 8} y={y(value)} dy="0.32em" textAnchor="end">
                {Math.round(value * 100)} %
              </text>
            </g>
          ))}
          {diagonal && <line className={styles["limit"]} x1={x(0)} y1={y(0.5)} x2={x(1)} y2={y(1)} />}
          {diagonal && (
            <text className={styles["tick"]} x={x(0.6) + 10} y={y(0.8) + 22}>
              as promised
            </text>
          )}
          {limit && limit.value <= to && (
            <>
              <line className={styles["limit"]} x1={MARGIN.left} x2={width - MARGIN.right} y1={y(limit.value)} y2={y(limit.value)} />
              <text className={styles["tick"]} x={MARGIN.left + 4} y={y(limit.value) - 5}>
                {limit.name} {share(limit.value)}
              </text>
            </>
          )}
          {marks.map((mark) => (
            <text key={mark.name} className={styles["tick"]} x={x(mark.at)} y={HEIGHT - MARGIN.bottom + 16} textAnchor="middle">
              {mark.name}
            </text>
          ))}
          <text className={styles["tick"]} x={MARGIN.left + inner / 2} y={HEIGHT - 4} textAnchor="middle">
            {across}
          </text>
          {joined && (
            <polyline
              className={styles["line"]}
              points={points.flatMap((each, index) => (each.value === null ? [] : [`${String(where[index])},${String(y(each.value))}`])).join(" ")}
            />
          )}
          {points.map((each, index) =>
            each.value === null ? null : (
              <g key={each.name} className={styles["mark"]} data-shown={index === shown}>
                {each.low !== undefined && each.high !== undefined && (
                  <line x1={where[index]} x2={where[index]} y1={y(Math.max(from, each.low))} y2={y(Math.min(to, each.high))} />
                )}
                <circle cx={where[index]} cy={y(each.value)} r={index === shown ? 6 : 4.5} />
              </g>
            ),
          )}
        </svg>
      </div>
    </>
  );
}

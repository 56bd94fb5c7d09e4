import { useSortable } from "@dnd-kit/sortable";
import type { KeyboardEvent } from "react";
import type { FlagName } from "../api/shapes";
import { cx } from "../look/cx";
import { Kbd } from "../look/Kbd";
import { Markdown } from "../look/Markdown";
import { ordinal } from "../look/numbers";
import { type Board, displayOrder, isTied, letterOf, type Move, rankOf, type Rating, RATINGS, ratingOf } from "./board";
import styles from "./Cards.module.css";
import { placeOf } from "./words";

interface Props {
  id: string;
  text: string;
  board: Board;
  labels: readonly FlagName[];
  play: (move: Move) => void;
  onFlags: () => void;
}

/** One response: its letter, its place, its full text, its flags and its scale. */
export function ResponseCard({ id, text, board, labels, play, onFlags }: Props) {
  const { setNodeRef, setActivatorNodeRef, attributes, listeners, transform, transition, isDragging } = useSortable({ id });
  const letter = letterOf(board, id);
  const rank = rankOf(board, id);
  const raised = board.flags[id] ?? [];
  const pick = (): void => { play({ type: "pick", id }); };
  return (
    // The card is picked by focus, by its letter and by a click; its controls are buttons of their own.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions, jsx-a11y/click-events-have-key-events
    <li
      ref={setNodeRef}
      className={cx(styles["card"], board.selected === id && styles["on"], isDragging && styles["held"])}
      style={transform === null ? undefined : { transform: `translate(${String(transform.x)}px, ${String(transform.y)}px)`, transition }}
      data-response={id}
      // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      aria-current={board.selected === id ? "true" : undefined}
      aria-label={`Response ${letter}, ${placeOf(board, id)}${rank === null ? "" : `, rated ${String(ratingOf(board, id))} of 7`}`}
      onFocus={pick}
      onClick={pick}
    >
      <div className={styles["head"]}>
        <Kbd>{letter}</Kbd>
        <button
          ref={setActivatorNodeRef}
          type="button"
          className={styles["handle"]}
          {...attributes}
          {...listeners}
          aria-label={`Drag response ${letter}`}
        >
          <Grip />
        </button>
        <Moves id={id} board={board} play={play} onFlags={onFlags} />
        <span className={cx(styles["place"], rank === null && styles["none"])}>
          {rank === null ? "not placed" : `${ordinal(rank)}${isTied(board, id) ? " =" : ""}`}
        </span>
      </div>
      <Markdown text={text} className={styles["text"]} />
      {raised.length > 0 && (
        <ul className={styles["flags"]} aria-label="Flags">
          {raised.map((flag) => (
            <li key={flag}>{labels.find((each) => each.key === flag)?.label ?? flag}</li>
          ))}
        </ul>
      )}
      <Scale id={id} board={board} play={play} />
    </li>
  );
}

function Moves({ id, board, play, onFlags }: Omit<Props, "text" | "labels">) {
  const letter = letterOf(board, id);
  const order = displayOrder(board);
  const alone = board.tiers.length === 0;
  return (
    <div className={styles["moves"]}>
      <button type="button" title="Move up" aria-label={`Move response ${letter} up`} disabled={alone || order[0] === id} onClick={() => { play({ type: "up", id }); }}>
        ↑
      </button>
      <button type="button" title="Move down" aria-label={`Move response ${letter} down`} disabled={rankOf(board, id) === null} onClick={() => { play({ type: "down", id }); }}>
        ↓
      </button>
      <button type="button" title="Tie with the one above" aria-label={`Tie response ${letter} with the one above`} disabled={alone || order[0] === id} onClick={() => { play({ type: "tie", id }); }}>
        =
      </button>
      <button
        type="button"
        title="Flags"
        aria-label={`Flags of response ${letter}`}
        onClick={() => {
          play({ type: "pick", id });
          onFlags();
        }}
      >
        <Flag />
      </button>
    </div>
  );
}

/** The 1–7 scale; one tab stop, arrows step through it. A click rates without taking the focus from the card. */
function Scale({ id, board, play }: { id: string; board: Board; play: (move: Move) => void }) {
  const rating = ratingOf(board, id);
  const rate = (value: Rating): void => { play({ type: "rate", id, rating: value }); };
  const onKeyDown = (event: KeyboardEvent<HTMLElement>): void => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const value = rating === null ? (by === 1 ? 1 : 7) : rating + by;
    const wanted = RATINGS.find((each) => each === value);
    if (wanted === undefined) return;
    rate(wanted);
    event.currentTarget.querySelectorAll("button")[wanted - 1]?.focus();
  };
  return (
    // eslint-disable-next-line jsx-a11y/interactive-supports-focus
    <div className={styles["scale"]} role="radiogroup" aria-label={`Rating of response ${letterOf(board, id)}, 1 worst to 7 best`} onKeyDown={onKeyDown}>
      {RATINGS.map((value) => (
        <button
          key={value}
          type="button"
          role="radio"
          aria-checked={rating === value}
          tabIndex={rating === value || (rating === null && value === 1) ? 0 : -1}
          onPointerDown={(event) => { event.preventDefault(); }}
          onClick={() => { rate(value); }}
        >
          {value}
        </button>
      ))}
    </div>
  );
}

function Grip() {
  return (
    <svg width="12" height="16" viewBox="0 0 12 16" fill="currentColor" aria-hidden="true">
      {[3, 8, 13].flatMap((y) => [3, 9].map((x) => <circle key={`${String(x)} ${String(y)}`} cx={x} cy={y} r="1.4" />))}
    </svg>
  );
}

function Flag() {
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinejoin="round" strokeLinecap="round" aria-hidden="true">
      <path d="M3 13V1.5h8L9 4.5l2 3H3" />
    </svg>
  );
}

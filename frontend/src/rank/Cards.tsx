import {
  type Announcements,
  closestCenter,
  DndContext,
  type DragEndEvent,
  KeyboardSensor,
  PointerSensor,
  useSensor,
  useSensors,
} from "@dnd-kit/core";
import { rectSortingStrategy, SortableContext, sortableKeyboardCoordinates } from "@dnd-kit/sortable";
import { useEffect, useRef } from "react";
import type { FlagName } from "../api/shapes";
import { type Board, displayOrder, letterOf, type Move } from "./board";
import styles from "./Cards.module.css";
import { ResponseCard } from "./ResponseCard";
import { useGlide } from "./useGlide";

interface Props {
  board: Board;
  responses: readonly { id: string; text: string }[];
  labels: readonly FlagName[];
  play: (move: Move) => void;
  onFlags: () => void;
}

/** The responses in the order that they stand in, best first; a card taken by its handle lands where it is dropped. */
export function Cards({ board, responses, labels, play, onFlags }: Props) {
  const order = displayOrder(board);
  const list = useRef<HTMLOListElement>(null);
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: 6 } }),
    useSensor(KeyboardSensor, {
      coordinateGetter: sortableKeyboardCoordinates,
      keyboardCodes: { start: ["Space"], end: ["Space", "Enter"], cancel: ["Escape"] },
    }),
  );
  useGlide(list, order.join(" "));
  useFocusOnPicked(list, board.selected);

  const drop = ({ active, over }: DragEndEvent): void => {
    if (over === null || active.id === over.id) return;
    play({ type: "drop", id: String(active.id), at: order.indexOf(String(over.id)) });
  };
  const name = (id: unknown): string => `response ${letterOf(board, String(id))}`;
  const place = (id: unknown): string => `place ${String(order.indexOf(String(id)) + 1)} of ${String(order.length)}`;
  const announcements: Announcements = {
    onDragStart: ({ active }) => `Picked up ${name(active.id)}, ${place(active.id)}.`,
    onDragOver: ({ active, over }) => (over === null ? undefined : `${name(active.id)} is over ${place(over.id)}.`),
    onDragEnd: ({ active }) => `Dropped ${name(active.id)}.`,
    onDragCancel: ({ active }) => `${name(active.id)} stays where it was.`,
  };
  return (
    <DndContext
      sensors={sensors}
      collisionDetection={closestCenter}
      onDragStart={({ active }) => { play({ type: "pick", id: String(active.id) }); }}
      onDragEnd={drop}
      accessibility={{
        announcements,
        screenReaderInstructions: { draggable: "Press Space to pick the response up, arrows to move it, Space to drop it, Escape to leave it." },
      }}
    >
      <SortableContext items={order} strategy={rectSortingStrategy}>
        <ol ref={list} className={styles["board"]} data-count={order.length} aria-label="Responses, best first">
          {order.map((id) => {
            const response = responses.find((each) => each.id === id);
            return response === undefined ? null : (
              <ResponseCard key={id} id={id} text={response.text} board={board} labels={labels} play={play} onFlags={onFlags} />
            );
          })}
        </ol>
      </SortableContext>
    </DndContext>
  );
}

/** Picking a card brings it into view and under the keyboard. */
function useFocusOnPicked(list: React.RefObject<HTMLOListElement | null>, picked: string | null): void {
  useEffect(() => {
    if (picked === null) return;
    const cards = [...(list.current?.querySelectorAll<HTMLElement>("[data-response]") ?? [])];
    const card = cards.find((each) => each.dataset["response"] === picked);
    if (card && !card.contains(document.activeElement)) card.focus();
  }, [list, picked]);
}

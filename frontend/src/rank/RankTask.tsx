import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import type { RankingBody } from "../api/leases";
import type { LabelSet } from "../api/shapes";
import { Conversation } from "../desk/Conversation";
import { DeskBar } from "../desk/DeskBar";
import { DeskFoot } from "../desk/DeskFoot";
import type { Paper } from "../desk/paper";
import { SkipDialog } from "../desk/SkipDialog";
import { firstDraft, useDraft } from "../desk/useDraft";
import { useSeconds } from "../desk/useSeconds";
import { type Shortcut, useShortcuts } from "../keys/shortcuts";
import { Button } from "../look/Button";
import { Kbd } from "../look/Kbd";
import { Spoken } from "../look/states";
import { lasting } from "../look/times";
import { allBad, alike, type Board, displayOrder, fromDraft, isRating, letterOf, missing, type Move, placements, play, said, toDraft } from "./board";
import { Cards } from "./Cards";
import { FlagsDialog } from "./FlagsDialog";
import styles from "./RankTask.module.css";
import { spoken, whatIsMissing } from "./words";

interface Props {
  paper: Paper;
  labels: LabelSet;
  today: { rankings: number; seconds_each: number | null } | null;
  waiting: number;
  onSubmit: (body: RankingBody) => void;
  onSkip?: (reason: string) => void;
  /** Leave what was submitted as it is. */
  onLeave?: (changed: boolean) => void;
  onGuidelines: () => void;
  onBack?: (() => void) | undefined;
}

interface Scene {
  board: Board;
  words: string;
  /** Counts the moves, so that the same words are spoken again. */
  turn: number;
}

function stage(scene: Scene, move: Move): Scene {
  const board = play(scene.board, move);
  return { board, words: spoken(scene.board, board, move), turn: scene.turn + 1 };
}

/** One ranking task: the prompt, its responses, and the moves that put them in order. */
export function RankTask({ paper, labels, today, waiting, onSubmit, onSkip, onLeave, onGuidelines, onBack }: Props) {
  const { prompt, responses } = paper.task;
  const [ids] = useState(() => responses.map((response) => response.id));
  const [begun] = useState(() => firstDraft(paper.place, paper.draft));
  const [original] = useState(() => (paper.original === null ? null : fromDraft(ids, paper.original)));
  const [scene, dispatch] = useReducer(stage, null, () => ({ board: fromDraft(ids, begun), words: "", turn: 0 }));
  const { board } = scene;
  const draft = useDraft(paper.place, paper.savedAt);
  const seconds = useSeconds(typeof begun?.["seconds"] === "number" ? begun["seconds"] : 0);
  const [dialog, setDialog] = useState<"flags" | "skip" | null>(null);
  const [refused, setRefused] = useState(false);
  useDraftOfBoard(board, draft.change, seconds);

  const left = missing(board).length;
  const same = original !== null && alike(board, original);
  const submit = useCallback(() => {
    if (missing(board).length > 0 || same) {
      setRefused(true);
      return;
    }
    draft.end();
    onSubmit({ placements: placements(board), flags: [...board.taskFlags], note: board.note.trim(), seconds_spent: seconds() });
  }, [board, same, draft, seconds, onSubmit]);

  const skip = (reason: string): void => {
    draft.end();
    onSkip?.(reason);
  };
  const turn = onLeave === undefined ? { name: "Skip", key: "S", run: () => { setDialog("skip"); } } : { name: "Leave it", key: "Esc", run: () => { onLeave(!same); } };
  const hasAllBad = labels.task_flags.some((flag) => flag.key === "all_bad");
  useRankKeys({ board, hasAllBad, play: dispatch, submit, setDialog, onGuidelines, onLeave: onLeave === undefined ? undefined : turn.run });

  return (
    <>
      <DeskBar
        saved={draft.state}
        waiting={waiting}
        today={today !== null && `${String(today.rankings)} today${today.seconds_each === null ? "" : ` · ${lasting(today.seconds_each)} each`}`}
        guidelinesKey={board.ids.length > 6 ? "⇧ G" : "G"}
        onGuidelines={onGuidelines}
        onBack={onBack}
      />
      <Conversation messages={prompt} />
      <Cards board={board} responses={responses} labels={labels.response_flags} play={dispatch} onFlags={() => { setDialog("flags"); }} />
      <p className={styles["spoken"]} aria-live="polite" data-turn={scene.turn}>
        <Spoken>
          {scene.words}
          {scene.turn % 2 === 1 ? " " : ""}
        </Spoken>
      </p>
      <DeskFoot
        keys={
          <>
            <Kbd>A</Kbd>–<Kbd>{letterOf(board, board.ids.at(-1) ?? "")}</Kbd> pick&ensp;
            <Kbd>1</Kbd>–<Kbd>7</Kbd> rate&ensp;
            <Kbd>←</Kbd> <Kbd>→</Kbd> order&ensp;
            <Kbd>=</Kbd> tie&ensp;
            <Kbd>X</Kbd> flags&ensp;
            <Kbd>Z</Kbd> undo&ensp;
          </>
        }
        left={same ? "Nothing is changed yet" : left === 0 ? "All placed" : refused ? whatIsMissing(board) : `${String(left)} ${left === 1 ? "response" : "responses"} to place`}
        refused={refused && (left > 0 || same)}
        ready={left === 0 && !same}
        submit={original === null ? "Submit" : "Submit the change"}
        submitKey="⏎"
        onSubmit={submit}
        turn={turn}
      >
        <Button className={styles["thumb"]} disabled={board.past.length === 0} onClick={() => { dispatch({ type: "undo" }); }}>
          Undo
        </Button>
        <Button onClick={() => { setDialog("flags"); }}>Flags {taskFlagCount(board)}</Button>
      </DeskFoot>
      {dialog === "flags" && <FlagsDialog board={board} labels={labels} play={dispatch} onClose={() => { setDialog(null); }} />}
      {dialog === "skip" && <SkipDialog onSkip={skip} onClose={() => { setDialog(null); }} />}
    </>
  );
}

function taskFlagCount(board: Board): string {
  return board.taskFlags.length === 0 ? "" : `(${String(board.taskFlags.length)})`;
}

/** Every change of what is said goes into the draft; looking around does not. */
function useDraftOfBoard(board: Board, change: (body: Record<string, unknown>) => void, seconds: () => number): void {
  const { tiers, flags, taskFlags, note } = board;
  const last = useRef({ ...said(board), note });
  useEffect(() => {
    const before = last.current;
    if (before.tiers === tiers && before.flags === flags && before.taskFlags === taskFlags && before.note === note) return;
    last.current = { tiers, flags, taskFlags, note };
    change({ ...toDraft({ ...board }), seconds: seconds() });
  }, [board, tiers, flags, taskFlags, note, change, seconds]);
}

interface KeysProps {
  board: Board;
  hasAllBad: boolean;
  play: (move: Move) => void;
  submit: () => void;
  setDialog: (dialog: "flags" | "skip") => void;
  onGuidelines: () => void;
  onLeave: (() => void) | undefined;
}

function useRankKeys({ board, hasAllBad, play: dispatch, submit, setDialog, onGuidelines, onLeave }: KeysProps): void {
  const letters = board.ids.map((id) => letterOf(board, id).toLowerCase());
  const withPicked = (run: (id: string) => void) => (): void => {
    const id = board.selected ?? displayOrder(board)[0];
    if (id !== undefined) run(id);
  };
  const on = (type: "up" | "down" | "tie"): (() => void) => withPicked((id) => { dispatch({ type, id }); });
  const shortcuts: Shortcut[] = [
    {
      keys: letters,
      shown: [`A – ${letters.at(-1)?.toUpperCase() ?? ""}`],
      does: "Pick a response",
      run: (_event, key) => { dispatch({ type: "pick", id: board.ids[letters.indexOf(key)] ?? null }); },
    },
    {
      keys: ["1", "2", "3", "4", "5", "6", "7"],
      shown: ["1 – 7"],
      does: "Rate it, 7 is the best; it moves to its place",
      run: (_event, key) => {
        const rating = Number(key);
        if (isRating(rating)) withPicked((id) => { dispatch({ type: "rate", id, rating }); })();
      },
    },
    { keys: ["ArrowLeft", "ArrowUp"], does: "Move it up; past another rating it takes that rating", run: on("up") },
    { keys: ["ArrowRight", "ArrowDown"], does: "Move it down", run: on("down") },
    { keys: "=", does: "Tie it with the one above", run: on("tie") },
    { keys: "x", does: "Open its flags", run: withPicked((id) => { dispatch({ type: "pick", id }); setDialog("flags"); }) },
    { keys: "z", does: "Undo", run: () => { dispatch({ type: "undo" }); } },
    { keys: "Shift+z", does: "Redo", run: () => { dispatch({ type: "redo" }); } },
    onLeave === undefined
      ? { keys: "s", does: "Skip, with a reason", run: () => { setDialog("skip"); } }
      : { keys: "Escape", does: "Leave it as it was", run: onLeave },
    { keys: letters.includes("g") ? "Shift+g" : ["g", "Shift+g"], shown: [letters.includes("g") ? "⇧ G" : "G"], does: "Guidelines", run: onGuidelines },
    { keys: ["Enter", "Control+Enter"], shown: ["⏎", "Ctrl ⏎"], does: onLeave === undefined ? "Submit" : "Submit the change", run: submit },
  ];
  if (hasAllBad) shortcuts.push({ keys: "0", does: "Flag: all are bad", run: () => { dispatch(allBad); } });
  useShortcuts("Rank", shortcuts);
}

import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import type { RankingBody } from "../api/leases";
import type { FlagName, LabelSet } from "../api/shapes";
import { Conversation } from "../desk/Conversation";
import { DeskBar } from "../desk/DeskBar";
import { DeskFoot } from "../desk/DeskFoot";
import type { Paper } from "../desk/paper";
import { ReportDialog } from "../desk/ReportDialog";
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
  unsent: number;
  onSubmit: (body: RankingBody) => void;
  onSkip?: (reason: string) => void;
  /** Leave what was submitted as it is. */
  onLeave?: (changed: boolean) => void;
  onGuidelines: () => void;
  onBack?: (() => void) | undefined;
}

type DialogName = "flags" | "skip" | "report";

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
export function RankTask({ paper, labels, today, waiting, unsent, onSubmit, onSkip, onLeave, onGuidelines, onBack }: Props) {
  const { prompt, responses } = paper.task;
  const [ids] = useState(() => responses.map((response) => response.id));
  const [begun] = useState(() => firstDraft(paper.place, paper.draft));
  const [original] = useState(() => (paper.original === null ? null : fromDraft(ids, paper.original)));
  const [scene, dispatch] = useReducer(stage, null, () => ({ board: fromDraft(ids, begun), words: "", turn: 0 }));
  const { board } = scene;
  const draft = useDraft(paper.place, paper.savedAt);
  const seconds = useSeconds(typeof begun?.["seconds"] === "number" ? begun["seconds"] : 0);
  const [dialog, setDialog] = useState<DialogName | null>(null);
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
  const report = (): void => { setDialog("report"); };
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
      <Conversation messages={prompt} onReport={report} />
      <Cards board={board} responses={responses} labels={labels.response_flags} play={dispatch} onFlags={() => { setDialog("flags"); }} />
      <p className={styles["spoken"]} aria-live="polite" data-turn={scene.turn}>
        <Spoken>
          {scene.words}
          {scene.turn % 2 === 1 ? " " : ""}
        </Spoken>
      </p>
      <DeskFoot
        saved={draft.state}
        unsent={unsent}
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
        <Raised board={board} labels={labels.task_flags} play={dispatch} />
        <Button className={styles["step"]} title="Undo (Z)" aria-label="Undo" disabled={board.past.length === 0} onClick={() => { dispatch({ type: "undo" }); }}>
          <Turn />
        </Button>
        <Button className={styles["step"]} title="Redo (Shift Z)" aria-label="Redo" disabled={board.future.length === 0} onClick={() => { dispatch({ type: "redo" }); }}>
          <Turn back />
        </Button>
        <Button onClick={() => { setDialog("flags"); }}>Flags {taskFlagCount(board)}</Button>
      </DeskFoot>
      {dialog === "flags" && <FlagsDialog board={board} labels={labels} play={dispatch} onClose={() => { setDialog(null); }} />}
      {dialog === "report" && <ReportDialog lease={paper.lease} onClose={() => { setDialog(null); }} />}
      {dialog === "skip" && <SkipDialog onSkip={skip} onClose={() => { setDialog(null); }} />}
    </>
  );
}

/** What is said of the task as a whole: its flags, each of which a click takes back, and the note. */
function Raised({ board, labels, play: dispatch }: { board: Board; labels: readonly FlagName[]; play: (move: Move) => void }) {
  const note = board.note.trim();
  if (board.taskFlags.length === 0 && note === "") return null;
  return (
    <div className={styles["raised"]} role="group" aria-label="Said of the whole task">
      {board.taskFlags.map((flag) => {
        const label = labels.find((each) => each.key === flag)?.label ?? flag;
        return (
          <button key={flag} type="button" className={styles["flag"]} aria-label={`Take back: ${label}`} onClick={() => { dispatch({ type: "flagTask", flag }); }}>
            {label} <span aria-hidden="true">×</span>
          </button>
        );
      })}
      {note !== "" && <q dir="auto">{note}</q>}
    </div>
  );
}

/** An arrow that turns back, or on again. */
function Turn({ back = false }: { back?: boolean }) {
  return (
    <svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" className={back ? styles["back"] : undefined}>
      <path d="M5.5 3 2.5 6l3 3M2.5 6h7a4 4 0 0 1 0 8H6" />
    </svg>
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
  setDialog: (dialog: DialogName) => void;
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
    { keys: ["z", "Control+z"], shown: ["Z", "Ctrl Z"], does: "Undo", run: () => { dispatch({ type: "undo" }); } },
    { keys: ["Shift+z", "Control+Shift+z", "Control+y"], shown: ["⇧ Z", "Ctrl ⇧ Z"], does: "Redo", run: () => { dispatch({ type: "redo" }); } },
    { keys: "r", does: "Report the prompt", run: () => { setDialog("report"); } },
    onLeave === undefined
      ? { keys: "s", does: "Skip, with a reason", run: () => { setDialog("skip"); } }
      : { keys: "Escape", does: "Leave it as it was", run: onLeave },
    { keys: letters.includes("g") ? "Shift+g" : ["g", "Shift+g"], shown: [letters.includes("g") ? "⇧ G" : "G"], does: "Guidelines", run: onGuidelines },
    { keys: ["Enter", "Control+Enter"], shown: ["⏎", "Ctrl ⏎"], does: onLeave === undefined ? "Submit" : "Submit the change", run: submit },
  ];
  if (hasAllBad) shortcuts.push({ keys: "0", does: "Flag: all are bad", run: () => { dispatch(allBad); } });
  useShortcuts("Rank", shortcuts);
}

/** What a reward model's card says of it. The trainer wrote it; nothing in it is taken for granted. */

export interface Figure {
  value: number | null;
  count: number;
  low?: number;
  high?: number;
}

export interface Ceiling {
  accuracy: number;
  low?: number;
  high?: number;
  agreement: number;
  log_loss: number;
  pairs: number;
}

export interface ConfidentError {
  id: string;
  probability: number;
  prompt: { role: string; content: string }[];
  preferred: string;
  scored_higher: string;
  said_by: string[];
  said_otherwise_by: string[];
}

export interface Figures {
  prompts: number;
  judgements: number;
  comparisons: number;
  accuracy: Figure;
  log_loss: Figure;
  kendall_tau: number | null;
  by_strength: (Figure & { steps: number })[];
  by_flag: Record<string, Figure>;
  by_annotator: Record<string, Figure>;
  calibration: { bins: (Figure & { predicted: number })[]; ece: number | null };
  length_correlation: number | null;
  shorter_preferred: Figure;
  longer_preferred: Figure;
  ceiling: Ceiling | null;
  errors: ConfidentError[];
  seen_annotators?: { annotators: number; accuracy: Figure };
  unseen_annotators?: { annotators: number; accuracy: Figure };
}

export interface CurvePoint {
  share: number;
  prompts: number;
  accuracy: Figure;
  log_loss: Figure;
}

export interface Evaluation {
  /** Which prompts: those of the split test where there are any. */
  split: "test" | "valid";
  figures: Figures;
  curve: CurvePoint[];
  reliability: Record<string, number> | null;
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMeasured(value: unknown): value is Figures {
  return isObject(value) && typeof value["prompts"] === "number" && value["prompts"] > 0 && isObject(value["calibration"]);
}

/** A point that was measured: without valid rankings a leg of the curve leaves none. */
function isPoint(value: unknown): value is CurvePoint {
  return isObject(value) && typeof value["share"] === "number" && typeof value["prompts"] === "number" && isObject(value["accuracy"]);
}

/** The measurements on a card, or null where the card holds none: of an older trainer, or brought in from outside. */
export function evaluationOf(card: Json): Evaluation | null {
  const said = card["evaluation"];
  if (!isObject(said)) return null;
  const split = isMeasured(said["test"]) ? "test" : "valid";
  const figures = said[split];
  if (!isMeasured(figures)) return null;
  return {
    split,
    figures,
    curve: Array.isArray(said["learning_curve"]) ? said["learning_curve"].filter(isPoint) : [],
    reliability: isObject(said["reliability"]) ? (said["reliability"] as Record<string, number>) : null,
  };
}

const DRAWN = ["valid", "test", "learning_curve", "reliability"];

/** A card without what is drawn. */
export function withoutFigures(card: Json): Json {
  const said = card["evaluation"];
  if (!isObject(said)) return card;
  return { ...card, evaluation: Object.fromEntries(Object.entries(said).filter(([name]) => !DRAWN.includes(name))) };
}

/** 71.4 % */
export function share(value: number | null | undefined): string {
  return value == null ? "–" : `${(value * 100).toFixed(1)} %`;
}

/** 69–74: the interval beside it. */
export function between(figure: Figure): string {
  return figure.low === undefined || figure.high === undefined ? "" : `${(figure.low * 100).toFixed(0)}–${(figure.high * 100).toFixed(0)}`;
}

/** Round limits for an axis of shares that holds all of these values; never narrower than 20 points. */
export function limits(values: readonly (number | null | undefined)[]): [number, number] {
  const known = values.filter((value): value is number => value != null && Number.isFinite(value));
  const low = Math.min(0.5, ...known);
  const high = Math.max(0.7, ...known);
  return [Math.max(0, Math.floor(low * 10) / 10), Math.min(1, Math.ceil(high * 10) / 10)];
}

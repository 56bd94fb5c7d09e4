import type { Curve } from "../api/curves";

export interface Line {
  name: string;
  /** What it is beside its sisters in the panel: "training", "valid". */
  role: string;
  curve: Curve;
}

export interface Panel {
  stage: string;
  quantity: string;
  lines: Line[];
}

const ROLES = ["valid", "test", "best", "train"];

/** Curves by stage and quantity: `rm/accuracy` and `rm/valid_accuracy` share a panel. Single numbers are left out. */
export function panelsOf(series: Readonly<Record<string, Curve>>): Panel[] {
  const panels = new Map<string, Panel>();
  for (const name of Object.keys(series).toSorted()) {
    const curve = series[name] ?? [];
    if (curve.length < 2) continue;
    const { stage, quantity, role } = partsOf(name);
    const key = `${stage}/${quantity}`;
    const panel = panels.get(key) ?? { stage, quantity, lines: [] };
    panel.lines.push({ name, role, curve });
    panels.set(key, panel);
  }
  return [...panels.values()].toSorted((one, other) => weight(other) - weight(one));
}

/** Numbers that were said once, such as the last look's. */
export function singlesOf(series: Readonly<Record<string, Curve>>): { name: string; value: number | null }[] {
  return Object.keys(series)
    .toSorted()
    .filter((name) => series[name]?.length === 1)
    .map((name) => ({ name, value: series[name]?.[0]?.[1] ?? null }));
}

function partsOf(name: string): { stage: string; quantity: string; role: string } {
  const slash = name.indexOf("/");
  const stage = slash < 0 ? "" : name.slice(0, slash);
  const rest = name.slice(slash + 1);
  const role = ROLES.find((each) => rest.startsWith(`${each}_`));
  return { stage, quantity: role === undefined ? rest : rest.slice(role.length + 1), role: role ?? "training" };
}

const FIRST = ["reward", "accuracy", "loss", "bits_per_character", "kl", "log_loss", "win_rate", "length", "entropy", "disagreement", "text_perplexity", "explained_variance", "clip_fraction"];
const LAST = ["learning_rate", "grad_norm"];

/** What people look at first comes first. */
function weight({ quantity, lines }: Panel): number {
  const first = FIRST.indexOf(quantity);
  const hasValid = lines.some((line) => line.role === "valid") ? 50 : 0;
  if (LAST.includes(quantity)) return -1;
  return hasValid + (first < 0 ? 0 : FIRST.length - first);
}

const STAGES: Record<string, string> = { rm: "Reward model", ppo: "PPO", sft: "Fine-tuning", pretrain: "Pre-training", sample: "Sampling", time: "Time" };

export function stageOf(name: string): string {
  return partsOf(name).stage;
}

export function stageName(stage: string): string {
  return STAGES[stage] ?? stage;
}

const WORDS: Record<string, string> = { sqrt_kl: "√KL", ref_perplexity: "perplexity under the reference", kl_k3: "KL (k3)" };

function wordsOf(quantity: string): string {
  return WORDS[quantity] ?? quantity.replaceAll("_", " ").replace(/\bkl\b/i, "KL");
}

/** `grad_norm` as people say it. */
export function quantityName(quantity: string): string {
  const words = wordsOf(quantity);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** `sft/valid_loss` as people say it. */
export function metricName(name: string): string {
  const slash = name.indexOf("/");
  return slash < 0 ? quantityName(name) : `${stageName(name.slice(0, slash))}: ${wordsOf(name.slice(slash + 1))}`;
}

/** Columns for the chart and the table: every step once, a value or null for each line. */
export function aligned(lines: readonly Line[]): { steps: number[]; values: (number | null)[][] } {
  const steps = [...new Set(lines.flatMap((line) => line.curve.map(([step]) => step)))].toSorted((one, other) => one - other);
  const values = lines.map((line) => {
    const byStep = new Map(line.curve);
    return steps.map((step) => byStep.get(step) ?? null);
  });
  return { steps, values };
}

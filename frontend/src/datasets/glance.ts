import type { Message } from "../api/shapes";

/** What a line of any kind of dataset says, as far as people read it. */
export interface Glance {
  /** The conversation that was answered; nothing where texts stand alone. */
  prompt: Message[];
  texts: { text: string; rank: number | null }[];
  /** What else is told in a word or two: its split, how many judged it, whether people did. */
  asides: string[];
}

/** Read a line; what it lacks is not there. Ranks are those of its only ranking. */
export function glanceAt(line: unknown): Glance {
  const { prompt, responses, response, text, judgements, split, doubt, reward, simulated } = record(line);
  const said = list(judgements);
  const ranks = new Map(said.length === 1 ? list(record(said[0])["placements"]).map((each) => [record(each)["response"], record(each)["rank"]]) : []);
  const texts = list(responses).map((each) => ({ text: words(record(each)["text"]), rank: number(ranks.get(record(each)["id"])) }));
  for (const one of [response, text]) if (typeof one === "string") texts.push({ text: one, rank: null });
  const figures = { doubt, reward };
  return {
    prompt: list(prompt).map((turn) => ({ role: words(record(turn)["role"]), content: words(record(turn)["content"]) })) as Message[],
    texts: texts.toSorted((one, other) => (one.rank ?? 0) - (other.rank ?? 0)),
    asides: [
      ...(typeof split === "string" ? [split] : []),
      ...(said.length > 1 ? [`${String(said.length)} judgements`] : []),
      ...(simulated === true || said.some((each) => record(each)["simulated"] === true) ? ["simulated"] : []),
      ...Object.entries(figures).flatMap(([name, value]) => (typeof value === "number" ? [`${name} ${value.toFixed(2)}`] : [])),
    ],
  };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function words(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function number(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

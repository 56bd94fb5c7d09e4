import { keep, kept } from "../desk/device";
import { fromKept, type Talk } from "./talk";

/** A conversation as this device keeps it. */
export interface KeptTalk {
  id: string;
  /** When it was last changed, in ms. */
  at: number;
  /** Who was asked last, by name; empty before the first choice. */
  model: string;
  talk: Talk;
}

/** How replies are written, and how many at a time. */
export interface Manner {
  temperature: number;
  max_tokens: number;
  /** Several replies a turn, which the person ranks. */
  contest: boolean;
}

const AT_MOST = 50;
const MANNER = "laurel.chat.manner";
const USUAL: Manner = { temperature: 0.8, max_tokens: 128, contest: false };

/** Conversations belong to a person in a project; another person on this device does not see them. */
function place(user: number, slug: string): string {
  return `laurel.chat.${String(user)}.${slug}`;
}

/** The conversations that were kept, the latest first. */
export function keptTalks(user: number, slug: string): KeptTalk[] {
  const list = kept(place(user, slug));
  return (Array.isArray(list) ? list : []).flatMap((each: unknown) => {
    const { id, at, model, talk } = (typeof each === "object" && each !== null ? each : {}) as Record<string, unknown>;
    if (typeof id !== "string" || typeof at !== "number") return [];
    return [{ id, at, model: typeof model === "string" ? model : "", talk: fromKept(talk) }];
  });
}

/** Keep a conversation among those that are kept now, which another tab may have changed. */
export function keepTalk(user: number, slug: string, one: KeptTalk): KeptTalk[] {
  const others = keptTalks(user, slug).filter((each) => each.id !== one.id);
  return write(user, slug, one.talk.turns.length === 0 ? others : [one, ...others]);
}

export function forgetTalk(user: number, slug: string, id: string): KeptTalk[] {
  return write(user, slug, keptTalks(user, slug).filter((each) => each.id !== id));
}

function write(user: number, slug: string, talks: KeptTalk[]): KeptTalk[] {
  const latest = talks.toSorted((one, other) => other.at - one.at).slice(0, AT_MOST);
  keep(place(user, slug), latest);
  return latest;
}

export function keptManner(): Manner {
  const { temperature, max_tokens, contest } = (kept(MANNER) ?? {}) as Partial<Record<keyof Manner, unknown>>;
  return {
    temperature: typeof temperature === "number" && temperature >= 0 && temperature <= 2 ? temperature : USUAL.temperature,
    max_tokens: typeof max_tokens === "number" && max_tokens >= 1 && max_tokens <= 1024 ? Math.round(max_tokens) : USUAL.max_tokens,
    contest: contest === true,
  };
}

export function keepManner(manner: Manner): void {
  keep(MANNER, manner);
}

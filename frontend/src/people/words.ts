import type { Member, Qualification, Role } from "../api/shapes";

/** What each role is called, and what it may do. */
export const ROLES: Record<Role, { name: string; may: string }> = {
  annotator: { name: "Annotator", may: "Ranks responses and writes demonstrations." },
  reviewer: { name: "Reviewer", may: "Labels too, and accepts, returns and settles what others said." },
  researcher: { name: "Researcher", may: "Brings prompts in, trains models and takes datasets home." },
  admin: { name: "Admin", may: "Does all of that, and decides who belongs and how the project labels." },
};

export const ROLE_NAMES = Object.keys(ROLES) as Role[];

/** Whether this is the row that someone left who was erased. */
export function isErased({ user, has_account: account }: Member): boolean {
  return !account && user.username === `erased-${String(user.id)}`;
}

/** What became of someone's first tasks, in words. */
export function qualificationWords(found: Qualification): string {
  const share = found.share === null ? "" : ` with ${String(Math.round(100 * found.share))} %`;
  if (found.state === "again") return "may try again";
  if (found.state === "passed") return found.decided_by === null ? `qualified${share}` : `let through by ${found.decided_by}`;
  return `not qualified${share === "" ? "" : `:${share.replace(" with", "")} right`}`;
}

import type { ReportReason } from "../api/shapes";

/** What may be wrong with a prompt, in the words in which it is said and read. */
export const REPORTED: Record<ReportReason, string> = {
  harmful: "It asks for something harmful",
  personal_data: "It holds personal data",
  broken: "It is broken or cannot be read",
  asked_before: "It was asked before",
  other: "Something else",
};

import type { DraftBody, Lease } from "../api/leases";
import { type DraftPlace, ofChange, ofLease } from "./drafts";
import type { Submission } from "../api/submissions";

/** A task on the desk, and what was written on it so far. */
export interface Paper {
  task: Lease["task"];
  draft: DraftBody | null;
  savedAt: string | null;
  /** The lease that it came with. */
  lease: string;
  /** Whether models have answered the prompt: a demonstration may start from what they wrote. */
  samples: boolean;
  /** Where the draft is kept. */
  place: DraftPlace;
  /** What it says now, when something submitted is changed. */
  original: DraftBody | null;
}

/** A task in hand. */
export function inHand(lease: Lease): Paper {
  return {
    task: lease.task,
    draft: lease.draft,
    savedAt: lease.draft_saved_at,
    lease: lease.id,
    samples: lease.samples,
    place: ofLease(lease.id),
    original: null,
  };
}

/** What was submitted, to be changed; `original` is its word as a draft would say it. */
export function submitted(submission: Submission, original: DraftBody): Paper {
  return {
    task: submission.task,
    draft: submission.draft ?? original,
    savedAt: submission.draft_saved_at,
    lease: submission.lease,
    samples: false,
    place: ofChange(submission.lease, submission.word.id),
    original,
  };
}

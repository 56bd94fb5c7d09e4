import { ApiError, messageOf } from "../api/client";
import { saveConversation, saveConversationOnLeaving } from "../api/conversations";
import { type DraftBody, saveDraft, saveDraftOnLeaving } from "../api/leases";
import { saveDraftOfChange, saveDraftOfChangeOnLeaving } from "../api/submissions";
import { forget, keep, kept } from "./device";

export type SaveState =
  | { type: "untouched" }
  | { type: "saving" }
  | { type: "saved"; at: Date }
  | { type: "offline" }
  | { type: "signed_out" }
  | { type: "refused"; message: string };

const PAUSE_MS = 400;
const AT_MOST_MS = 900;
const TRY_AGAIN_MS = 5_000;

/** Where a draft is kept: under which name on this device, and how on the server. */
export interface DraftPlace {
  key: string;
  save: (body: DraftBody) => Promise<string>;
  saveOnLeaving: (body: DraftBody) => void;
}

/** The draft of a task in hand. */
export function ofLease(lease: string): DraftPlace {
  return {
    key: lease,
    save: (body) => saveDraft(lease, body),
    saveOnLeaving: (body) => { saveDraftOnLeaving(lease, body); },
  };
}

/** The draft of a change to what was submitted; it means nothing once another word stands. */
export function ofChange(lease: string, replaces: number): DraftPlace {
  return {
    key: `${lease}.${String(replaces)}`,
    save: (body) => saveDraftOfChange(lease, replaces, body),
    saveOnLeaving: (body) => { saveDraftOfChangeOnLeaving(lease, replaces, body); },
  };
}

/** A conversation that is being written. */
export function ofConversation(slug: string, id: string): DraftPlace {
  return {
    key: id,
    save: (body) => saveConversation(slug, id, body),
    saveOnLeaving: (body) => { saveConversationOnLeaving(slug, id, body); },
  };
}

function nameOf(key: string): string {
  return `laurel.draft.${key}`;
}

/** The draft that this device holds and the server has not seen. */
export function draftOnDevice(key: string): DraftBody | null {
  return kept(nameOf(key)) as DraftBody | null;
}

export function forgetDraft(key: string): void {
  forget(nameOf(key));
}

/** Keeps one draft: on the device at once, on the server within a second, one request at a time. */
export class DraftKeeper {
  private body: DraftBody | null = null;
  private firstChange = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sending = false;
  private over = false;

  constructor(
    private readonly place: DraftPlace,
    private readonly tell: (state: SaveState) => void,
  ) {}

  change(body: DraftBody): void {
    if (this.over) return;
    const now = Date.now();
    if (this.body === null) this.firstChange = now;
    this.body = body;
    keep(nameOf(this.place.key), body);
    this.tell({ type: "saving" });
    this.send(Math.max(0, Math.min(PAUSE_MS, this.firstChange + AT_MOST_MS - now)));
  }

  /** Send what is not sent yet, now; for pages that close. */
  leave(): void {
    if (this.body !== null && !this.over) this.place.saveOnLeaving(this.body);
  }

  /** The work was submitted or given up: no more drafts of it. */
  end(): void {
    this.over = true;
    this.body = null;
    clearTimeout(this.timer);
    forgetDraft(this.place.key);
  }

  /** Stop telling; what is kept on the device stays. */
  stop(): void {
    this.leave();
    this.over = true;
    clearTimeout(this.timer);
  }

  private send(afterMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.put(), afterMs);
  }

  private async put(): Promise<void> {
    const body = this.body;
    if (body === null || this.sending || this.over) return;
    this.sending = true;
    this.body = null;
    try {
      const at = await this.place.save(body);
      this.sending = false;
      if (this.stillDirty()) this.send(0);
      else if (!this.isOver()) {
        forgetDraft(this.place.key);
        this.tell({ type: "saved", at: new Date(at) });
      }
    } catch (error) {
      this.sending = false;
      this.body ??= body;
      if (this.isOver()) return;
      if (error instanceof ApiError && error.status === 401) {
        this.tell({ type: "signed_out" });
      } else if (error instanceof ApiError && error.status >= 400 && error.status < 500) {
        this.tell({ type: "refused", message: messageOf(error) });
      } else {
        this.tell({ type: "offline" });
        this.send(TRY_AGAIN_MS);
      }
    }
  }

  private stillDirty(): boolean {
    return this.body !== null;
  }

  private isOver(): boolean {
    return this.over;
  }
}

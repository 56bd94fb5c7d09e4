import { ApiError } from "../api/client";
import { type ConversationBody, submitConversation } from "../api/conversations";
import { type DemonstrationBody, type RankingBody, skipLease, submitDemonstration, submitRanking } from "../api/leases";
import { changeDemonstration, type ChangeOf, changeRanking } from "../api/submissions";
import { forget, keep, kept } from "./device";

/**
 * Finished work, or a task that was skipped, on its way to the server. The lease's id, or the change's, makes sending twice
 * the same as sending once.
 */
export type Parcel = { lease: string; change?: ChangeOf } & (
  | { kind: "ranking"; body: RankingBody }
  | { kind: "demonstration"; body: DemonstrationBody }
  | { kind: "conversation"; slug: string; body: ConversationBody }
  | { kind: "skip"; reason: string }
);

function place(user: number): string {
  return `laurel.outbox.${String(user)}`;
}

export function waitingParcels(user: number): Parcel[] {
  return (kept(place(user)) as Parcel[] | null) ?? [];
}

export function post(user: number, parcel: Parcel): void {
  keep(place(user), [...waitingParcels(user).filter((each) => each.lease !== parcel.lease), parcel]);
}

function remove(user: number, parcel: Parcel): void {
  const rest = waitingParcels(user).filter((each) => each.lease !== parcel.lease || each.change?.edit !== parcel.change?.edit);
  if (rest.length === 0) forget(place(user));
  else keep(place(user), rest);
}

function send(parcel: Parcel): Promise<unknown> {
  const { lease, change } = parcel;
  if (parcel.kind === "skip") return skipLease(lease, parcel.reason);
  if (parcel.kind === "conversation") return submitConversation(parcel.slug, lease, parcel.body);
  if (parcel.kind === "ranking") return change === undefined ? submitRanking(lease, parcel.body) : changeRanking(lease, change, parcel.body);
  return change === undefined ? submitDemonstration(lease, parcel.body) : changeDemonstration(lease, change, parcel.body);
}

/** A rule of its project, or a role, stands in the way for now; other work may go. */
export function holdsUpThisOneOnly({ status, code }: ApiError): boolean {
  return status === 403 || code === "qualify_first";
}

/** What the server may take at another time: it is asked again. */
function isForNow(error: ApiError): boolean {
  const { status } = error;
  return status < 400 || status >= 500 || [401, 408, 429].includes(status) || holdsUpThisOneOnly(error);
}

type Delivery = { type: "sent" } | { type: "later"; error: ApiError } | { type: "refused"; error: ApiError };

const onTheirWay = new Map<string, Promise<Delivery>>();

/**
 * Send one parcel. It stays in the outbox until the server has taken it or refused it by name. Who asks for it while it is
 * on its way hears what becomes of it: a desk and the page around it notice together that the server is back.
 */
export function deliver(user: number, parcel: Parcel): Promise<Delivery> {
  const name = [user, parcel.kind, parcel.lease, parcel.change?.edit ?? ""].join(" ");
  const delivery = onTheirWay.get(name) ?? handOver(user, parcel).finally(() => onTheirWay.delete(name));
  onTheirWay.set(name, delivery);
  return delivery;
}

async function handOver(user: number, parcel: Parcel): Promise<Delivery> {
  try {
    await send(parcel);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (isForNow(error)) return { type: "later", error };
    remove(user, parcel);
    return { type: "refused", error };
  }
  remove(user, parcel);
  return { type: "sent" };
}

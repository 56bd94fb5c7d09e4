import { ApiError } from "../api/client";
import { type DemonstrationBody, type RankingBody, submitDemonstration, submitRanking } from "../api/leases";
import { changeDemonstration, type ChangeOf, changeRanking } from "../api/submissions";
import { forget, keep, kept } from "./device";

/** Finished work on its way to the server. The lease's id, or the change's, makes sending twice the same as sending once. */
export type Parcel = { lease: string; change?: ChangeOf } & (
  | { kind: "ranking"; body: RankingBody }
  | { kind: "demonstration"; body: DemonstrationBody }
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
  if (parcel.kind === "ranking") return change === undefined ? submitRanking(lease, parcel.body) : changeRanking(lease, change, parcel.body);
  return change === undefined ? submitDemonstration(lease, parcel.body) : changeDemonstration(lease, change, parcel.body);
}

export type Delivery = { type: "sent" } | { type: "later"; error: ApiError } | { type: "refused"; error: ApiError };

/** Send one parcel. It stays in the outbox until the server has taken it or refused it by name. */
export async function deliver(user: number, parcel: Parcel): Promise<Delivery> {
  try {
    await send(parcel);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status < 400 || error.status >= 500 || [401, 403, 408, 429].includes(error.status)) return { type: "later", error };
    remove(user, parcel);
    return { type: "refused", error };
  }
  remove(user, parcel);
  return { type: "sent" };
}

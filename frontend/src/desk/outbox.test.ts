import { afterEach, describe, expect, test, vi } from "vitest";
import { deliver, holdsUpThisOneOnly, type Parcel, post, waitingParcels } from "./outbox";

const ADA = 1;
const BEN = 2;
const parcel: Parcel = { lease: "lease-1", kind: "demonstration", body: { text: "A story.", started_from: null, seconds_spent: 3 } };

function answering(status: number, body: unknown): void {
  vi.stubGlobal("fetch", () =>
    Promise.resolve(new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } })),
  );
}

afterEach(() => vi.unstubAllGlobals());

describe("finished work", () => {
  test("leaves the device once the server has it", async () => {
    answering(201, { id: 7 });
    post(ADA, parcel);
    expect(await deliver(ADA, parcel)).toEqual({ type: "sent" });
    expect(waitingParcels(ADA)).toEqual([]);
  });

  test("stays on the device while the server cannot be reached or breaks", async () => {
    post(ADA, parcel);
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("offline")));
    expect(await deliver(ADA, parcel)).toMatchObject({ type: "later" });
    answering(500, { code: "server_error", message: "Something broke.", fields: {} });
    expect(await deliver(ADA, parcel)).toMatchObject({ type: "later" });
    answering(401, { code: "not_authenticated", message: "Sign in.", fields: {} });
    expect(await deliver(ADA, parcel)).toMatchObject({ type: "later" });
    expect(waitingParcels(ADA)).toEqual([parcel]);
  });

  test("stays on the device while a rule stands in its way", async () => {
    post(ADA, parcel);
    for (const [status, code] of [[403, "not_qualified"], [409, "qualify_first"]] as const) {
      answering(status, { code, message: "Not yet.", fields: {} });
      const delivery = await deliver(ADA, parcel);
      expect(delivery).toMatchObject({ type: "later", error: { code } });
      expect(delivery.type === "later" && holdsUpThisOneOnly(delivery.error)).toBe(true);
    }
    expect(waitingParcels(ADA)).toEqual([parcel]);
  });

  test("that the server refuses by name is not sent again", async () => {
    post(ADA, parcel);
    answering(409, { code: "lease_expired", message: "Handed to someone else.", fields: {} });
    expect(await deliver(ADA, parcel)).toMatchObject({ type: "refused", error: { code: "lease_expired" } });
    expect(waitingParcels(ADA)).toEqual([]);
  });

  test("of one person is not sent as another's", () => {
    post(ADA, parcel);
    expect(waitingParcels(BEN)).toEqual([]);
  });

  test("posted twice waits once", () => {
    post(ADA, parcel);
    post(ADA, parcel);
    expect(waitingParcels(ADA)).toHaveLength(1);
  });
});

describe("a skipped task", () => {
  const skip: Parcel = { lease: "lease-1", kind: "skip", reason: "It is upsetting" };

  test("stays on the device with its reason until the server can be reached", async () => {
    post(ADA, skip);
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("offline")));
    expect(await deliver(ADA, skip)).toMatchObject({ type: "later" });
    expect(waitingParcels(ADA)).toEqual([skip]);
    const sent: { url: string; body: unknown }[] = [];
    vi.stubGlobal("fetch", async (request: Request) => {
      sent.push({ url: new URL(request.url).pathname, body: await request.json() });
      return new Response(null, { status: 204 });
    });
    expect(await deliver(ADA, skip)).toEqual({ type: "sent" });
    expect(sent).toEqual([{ url: "/api/v1/leases/lease-1/skip", body: { reason: "It is upsetting" } }]);
    expect(waitingParcels(ADA)).toEqual([]);
  });

  test("that two ask for at once is sent once, and both hear of it", async () => {
    const fetch = vi.fn(() => Promise.resolve(new Response(null, { status: 204 })));
    vi.stubGlobal("fetch", fetch);
    post(ADA, skip);
    expect(await Promise.all([deliver(ADA, skip), deliver(ADA, skip)])).toEqual([{ type: "sent" }, { type: "sent" }]);
    expect(fetch).toHaveBeenCalledOnce();
  });
});

describe("a change to what was submitted", () => {
  const change: Parcel = { ...parcel, change: { edit: "edit-1", replaces: 7 } };

  test("goes to the submission's own address with its id, so that sending it twice is harmless", async () => {
    const sent: { url: string; method: string; body: unknown }[] = [];
    vi.stubGlobal("fetch", async (request: Request) => {
      sent.push({ url: new URL(request.url).pathname, method: request.method, body: await request.json() });
      return new Response(JSON.stringify({ id: 8 }), { status: 201, headers: { "Content-Type": "application/json" } });
    });
    post(ADA, change);
    expect(await deliver(ADA, change)).toEqual({ type: "sent" });
    expect(sent).toEqual([
      {
        url: "/api/v1/submissions/lease-1/demonstration",
        method: "PUT",
        body: { text: "A story.", started_from: null, seconds_spent: 3, edit: "edit-1", replaces: 7 },
      },
    ]);
    expect(waitingParcels(ADA)).toEqual([]);
  });

  test("that was sent does not take a later one of the same work along", async () => {
    answering(201, { id: 8 });
    const later: Parcel = { ...parcel, change: { edit: "edit-2", replaces: 8 } };
    post(ADA, later);
    await deliver(ADA, change);
    expect(waitingParcels(ADA)).toEqual([later]);
    await deliver(ADA, later);
  });
});

import createClient, { type Middleware } from "openapi-fetch";
import type { paths } from "./schema";

/** What the server refused, by name; code `offline` when it could not be reached at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fields: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = "ApiError";
  }

  get isOffline(): boolean {
    return this.code === "offline";
  }
}

/** The token that Django wants back with every request that changes something. */
export function csrfToken(): string {
  return /(?:^|;\s*)csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? "";
}

const guard: Middleware = {
  onRequest({ request }) {
    if (request.method !== "GET") request.headers.set("X-CSRFToken", csrfToken());
    return request;
  },
};

export const client = createClient<paths>({
  baseUrl: window.location.origin,
  credentials: "same-origin",
  fetch: (request) => fetch(request), // looked up at each call, so that a test can answer instead
});
client.use(guard);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of a successful answer; everything else is thrown as an ApiError. */
export async function answer<T>(call: Promise<Answer<T>>): Promise<T> {
  let result: Answer<T>;
  try {
    result = await call;
  } catch (cause) {
    if (cause instanceof TypeError || (cause instanceof DOMException && cause.name === "NetworkError")) {
      throw new ApiError(0, "offline", "The server cannot be reached.");
    }
    throw cause;
  }
  if (result.response.ok) return result.data as T;
  throw refusal(result.response.status, result.error);
}

function refusal(status: number, body: unknown): ApiError {
  if (isEnvelope(body)) return new ApiError(status, body.code, body.message, body.fields ?? {});
  if ([502, 503, 504].includes(status)) return new ApiError(status, "offline", "The server cannot be reached.");
  return new ApiError(status, "error", `The server answered ${String(status)}. Try again in a moment.`);
}

function isEnvelope(body: unknown): body is { code: string; message: string; fields?: Record<string, unknown> } {
  return typeof body === "object" && body !== null && "code" in body && "message" in body;
}

/** A request that outlives the page which sends it; nobody is left to hear the answer. */
export function whileLeaving(method: "PUT" | "DELETE", address: string, body?: unknown): void {
  const headers = { "Content-Type": "application/json", "X-CSRFToken": csrfToken() };
  const said = body === undefined ? {} : { body: JSON.stringify(body) };
  void fetch(address, { method, keepalive: true, credentials: "same-origin", headers, ...said }).catch(() => undefined);
}

/** An id drawn here, which makes sending twice the same as sending once; pages without https have no randomUUID. */
export function newId(): string {
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** What an error says to a person. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong.";
}

import { answer, client, whileLeaving } from "./client";
import type { DraftBody } from "./leases";
import type { ConversationBody, PlayedTurn } from "./shapes";

export type { ConversationBody, PlayedTurn };

interface Unfinished {
  id: string;
  body: DraftBody;
  saved_at: string;
}

function at(slug: string, conversation_id: string): { path: { slug: string; conversation_id: string } } {
  return { path: { slug, conversation_id } };
}

/** The conversation that I have begun and not submitted, or null. */
export async function unfinishedConversation(slug: string): Promise<Unfinished | null> {
  const found = await answer(client.GET("/api/v1/projects/{slug}/conversations", { params: { path: { slug } } }));
  return found[0] ?? null;
}

export async function saveConversation(slug: string, id: string, body: DraftBody): Promise<string> {
  const call = client.PUT("/api/v1/projects/{slug}/conversations/{conversation_id}", { params: at(slug, id), body });
  return (await answer(call)).saved_at;
}

export function saveConversationOnLeaving(slug: string, id: string, body: DraftBody): void {
  whileLeaving("PUT", `/api/v1/projects/${slug}/conversations/${id}`, body);
}

export function discardConversation(slug: string, id: string): Promise<unknown> {
  return answer(client.DELETE("/api/v1/projects/{slug}/conversations/{conversation_id}", { params: at(slug, id) }));
}

export function submitConversation(slug: string, id: string, body: ConversationBody): Promise<unknown> {
  return answer(client.POST("/api/v1/projects/{slug}/conversations/{conversation_id}/submit", { params: at(slug, id), body }));
}

import { useMutation, useQuery } from "@tanstack/react-query";
import { answer, ApiError, client } from "./client";
import { EventReader } from "./eventReader";
import type { Message, Model, RankedTurn } from "./shapes";

export interface Sampling {
  temperature: number;
  max_tokens: number;
}

/** The policies that one can talk to: the champion under the project's slug, then the checkpoints, newest first. */
export function useTalkers(slug: string) {
  return useQuery({
    queryKey: ["talkers", slug],
    queryFn: async (): Promise<Model[]> => (await answer(client.GET("/api/v1/models", { params: { query: { project: slug } } }))).data,
    enabled: slug !== "",
  });
}

interface Chunk {
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  error?: { message?: string; code?: string };
}

/** Let a model reply, word by word; how the reply ended. Aborting the signal ends the computation. */
export async function streamReply(
  model: string,
  messages: Message[],
  sampling: Sampling,
  signal: AbortSignal,
  onWord: (text: string) => void,
): Promise<"done" | "cut"> {
  const body = { model, messages, ...sampling, stream: true, n: 1, top_p: 1, logprobs: false };
  const call = client.POST("/api/v1/chat/completions", { body, signal, parseAs: "stream" });
  const stream = (await answer(call as Promise<{ data?: ReadableStream<Uint8Array<ArrayBuffer>>; error?: unknown; response: Response }>)).pipeThrough(
    new TextDecoderStream(),
  );
  const events = new EventReader();
  const reader = stream.getReader();
  let ending: string | null = null;
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => { throw signal.aborted ? cause : broken(); });
    if (done) break;
    for (const event of events.push(value)) {
      if (event === "[DONE]") continue;
      const { choices, error } = JSON.parse(event) as Chunk;
      if (error) throw new ApiError(502, error.code ?? "stream_broken", error.message ?? broken().message);
      const choice = choices?.[0];
      if (choice?.delta?.content) onWord(choice.delta.content);
      ending = choice?.finish_reason ?? ending;
    }
  }
  if (ending === null) throw broken();
  return ending === "length" ? "cut" : "done";
}

function broken(): ApiError {
  return new ApiError(502, "stream_broken", "The reply broke off.");
}

/** Have people write the ideal reply to a conversation. */
export function useAskForDemonstration(slug: string) {
  return useMutation({
    mutationFn: (messages: Message[]) =>
      answer(client.POST("/api/v1/projects/{slug}/prompts", { params: { path: { slug } }, body: { messages, ask: "demonstration" } })),
  });
}

interface RankedTurnOrder {
  model: string;
  messages: Message[];
  sampling: Sampling;
  /** Put the task into my hands. */
  take: boolean;
  /** Aborting it ends the writing. */
  signal?: AbortSignal;
}

/** Have a model write several replies to a conversation, and people rank them. */
export function useAskForRanking(slug: string) {
  return useMutation({
    mutationFn: ({ model, messages, sampling, take, signal }: RankedTurnOrder): Promise<RankedTurn> =>
      answer(client.POST("/api/v1/projects/{slug}/ranking-tasks", { params: { path: { slug } }, body: { model, messages, ...sampling, take }, ...(signal && { signal }) })),
  });
}

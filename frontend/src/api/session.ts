import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, ApiError, client } from "./client";
import type { Role, Session } from "./shapes";

export type { Role };

async function whoAmI(): Promise<Session | null> {
  try {
    return await answer(client.GET("/api/v1/session"));
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) return null;
    throw error;
  }
}

/** Who is signed in; null for nobody. */
export function useSession() {
  return useQuery({ queryKey: ["session"], queryFn: whoAmI, staleTime: 300_000 });
}

/** What one person has seen is not for the next one. */
function changePerson(queries: QueryClient, session: Session | null): void {
  queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  queries.setQueryData(["session"], session);
}

export function useSignIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { username: string; password: string }) => answer(client.POST("/api/v1/session", { body })),
    onSuccess: (session) => { changePerson(queries, session); },
  });
}

export function useSignOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => answer(client.DELETE("/api/v1/session")),
    onSuccess: () => { changePerson(queries, null); },
  });
}

export function useChangePassword() {
  return useMutation({
    mutationFn: (body: { current: string; new: string }) => answer(client.PATCH("/api/v1/session", { body })),
  });
}

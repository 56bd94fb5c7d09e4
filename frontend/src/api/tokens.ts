import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";

const queryKey = ["tokens"];

export function useTokens() {
  return useQuery({ queryKey, queryFn: () => answer(client.GET("/api/v1/tokens")) });
}

export function useCreateToken() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => answer(client.POST("/api/v1/tokens")),
    onSuccess: () => queries.invalidateQueries({ queryKey }),
  });
}

export function useDeleteToken() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => answer(client.DELETE("/api/v1/tokens/{token_id}", { params: { path: { token_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey }),
  });
}

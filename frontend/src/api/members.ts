import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, client } from "./client";
import type { Invitation, Member, Qualification, Role } from "./shapes";

function at(slug: string, cursor: string, more: Record<string, string> = {}) {
  return { path: { slug }, query: { ...more, ...(cursor !== "" && { cursor }) } };
}

interface Pages<Row> {
  next: string | null;
  results: Row[];
}

/** Everyone who belongs to a project or did, newest first. */
export function useMembers(slug: string, q = "") {
  return useInfiniteQuery({
    queryKey: ["members", slug, q],
    queryFn: ({ pageParam }) =>
      answer(client.GET("/api/v1/projects/{slug}/members", { params: at(slug, pageParam, q === "" ? {} : { q }) })) as Promise<Pages<Member>>,
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

export function useChangeMember(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ user, ...body }: { user: number; role?: Role; active?: boolean }) =>
      answer(client.PATCH("/api/v1/projects/{slug}/members/{user_id}", { params: { path: { slug, user_id: user } }, body })),
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: ["members", slug] }), queries.invalidateQueries({ queryKey: ["deeds", slug] })]),
  });
}

/** Everything that the project holds of one person. */
export function exportPerson(slug: string, user: number): Promise<unknown> {
  return answer(client.POST("/api/v1/projects/{slug}/members/{user_id}/export", { params: { path: { slug, user_id: user } } }));
}

/** The datasets that hold one person's words. */
export function useHoldings(slug: string, user: number) {
  return useQuery({
    queryKey: ["holdings", slug, user],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}/members/{user_id}/datasets", { params: { path: { slug, user_id: user } } })),
  });
}

export function useErase(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ user, username }: { user: number; username: string }) =>
      answer(client.POST("/api/v1/projects/{slug}/members/{user_id}/erase", { params: { path: { slug, user_id: user } }, body: { username } })),
    onSuccess: () => queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "session" }),
  });
}

/** What became of everyone's first tasks. */
export function useQualifications(slug: string) {
  return useInfiniteQuery({
    queryKey: ["qualifications", slug],
    queryFn: ({ pageParam }) =>
      answer(client.GET("/api/v1/projects/{slug}/qualifications", { params: at(slug, pageParam) })) as Promise<Pages<Qualification>>,
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function useDecideQualification(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ user, state }: { user: number; state: "passed" | "again" }) =>
      answer(client.PUT("/api/v1/projects/{slug}/members/{user_id}/qualification", { params: { path: { slug, user_id: user } }, body: { state } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["qualifications", slug] }),
  });
}

/** Every invitation, newest first. */
export function useInvitations(slug: string) {
  return useInfiniteQuery({
    queryKey: ["invitations", slug],
    queryFn: ({ pageParam }) =>
      answer(client.GET("/api/v1/projects/{slug}/invitations", { params: at(slug, pageParam) })) as Promise<Pages<Invitation>>,
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function useInvite(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { role: Role; meant_for: string; days: number }) =>
      answer(client.POST("/api/v1/projects/{slug}/invitations", { params: { path: { slug } }, body })) as Promise<Invitation>,
    onSuccess: () => queries.invalidateQueries({ queryKey: ["invitations", slug] }),
  });
}

export function useRevoke(slug: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: number) =>
      answer(client.DELETE("/api/v1/projects/{slug}/invitations/{invitation_id}", { params: { path: { slug, invitation_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["invitations", slug] }),
  });
}

/** Where an invitation leads. */
export function useInvited(token: string) {
  return useQuery({
    queryKey: ["invited", token],
    queryFn: () => answer(client.GET("/api/v1/invitations/{token}", { params: { path: { token } } })),
    retry: false,
  });
}

/** Join, as who one is signed in as or with a new account. */
export function useJoin(token: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { name: string; username?: string; password?: string }) =>
      answer(client.POST("/api/v1/invitations/{token}", { params: { path: { token } }, body })),
    onSuccess: (session) => { queries.setQueryData(["session"], session); },
  });
}

/** Who did what, newest first. */
export function useDeeds(slug: string, wanted: { by: string; did: string }) {
  return useInfiniteQuery({
    queryKey: ["deeds", slug, wanted.by, wanted.did],
    queryFn: ({ pageParam }) => {
      const query = {
        ...(wanted.by !== "" && { by: Number(wanted.by) }),
        ...(wanted.did !== "" && { did: wanted.did }),
        ...(pageParam !== "" && { cursor: pageParam }),
      };
      return answer(client.GET("/api/v1/projects/{slug}/deeds", { params: { path: { slug }, query } }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

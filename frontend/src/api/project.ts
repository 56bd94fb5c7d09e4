import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { answer, client } from "./client";
import { type Role, useSession } from "./session";

/** The project that the address names. */
export function useSlug(): string {
  return useParams()["slug"] ?? "";
}

export function useProject(slug: string) {
  return useQuery({
    queryKey: ["project", slug],
    queryFn: () => answer(client.GET("/api/v1/projects/{slug}", { params: { path: { slug } } })),
    staleTime: 300_000,
    enabled: slug !== "",
  });
}

/** What the signed-in person may do in the project that the address names. */
export function useRole(): Role | null {
  const slug = useSlug();
  const session = useSession();
  return session.data?.memberships.find((each) => each.project.slug === slug)?.role ?? null;
}

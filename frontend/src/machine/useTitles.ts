import { useMemo } from "react";
import { useJobKinds } from "../api/jobs";

/** The titles of the kinds of job, by their names. */
export function useTitles(): ReadonlyMap<string, string> {
  const kinds = useJobKinds().data;
  return useMemo(() => new Map(kinds?.map((kind) => [kind.kind, kind.title])), [kinds]);
}

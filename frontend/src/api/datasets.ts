import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { answer, client } from "./client";
import type { Dataset, DatasetDetail, DatasetKind } from "./shapes";

interface DatasetPage {
  next: string | null;
  results: Dataset[];
}

/** Datasets of a project, newest first. */
export function useDatasets(slug: string, kind?: DatasetKind) {
  return useInfiniteQuery({
    queryKey: ["datasets", slug, kind ?? ""],
    queryFn: ({ pageParam }) => {
      const query = { project: slug, ...(kind && { kind }), ...(pageParam !== "" && { cursor: pageParam }) };
      return answer(client.GET("/api/v1/datasets", { params: { query } })) as Promise<DatasetPage>;
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function useDataset(id: number) {
  return useQuery({
    queryKey: ["dataset", id],
    queryFn: () => answer(client.GET("/api/v1/datasets/{dataset_id}", { params: { path: { dataset_id: id } } })) as Promise<DatasetDetail>,
  });
}

const GLANCE_BYTES = 65_536;
const GLANCE_LINES = 3;

/** The first lines of a dataset, of which no more is fetched than that takes. */
export function useFirstLines(id: number, wanted: boolean) {
  return useQuery({
    queryKey: ["dataset", id, "first lines"],
    enabled: wanted,
    staleTime: Infinity, // it is frozen
    queryFn: async () => {
      const parts = fetch(datasetLines(id), { headers: { Range: `bytes=0-${String(GLANCE_BYTES - 1)}` } });
      const text = await answer(parts.then(async (response) => ({ response, data: await response.text() })));
      const lines = text.split("\n").slice(0, -1); // the last one may be cut
      return lines.slice(0, GLANCE_LINES).map((line) => JSON.parse(line) as unknown);
    },
  });
}

/** Where the lines of a dataset can be fetched. */
export function datasetLines(id: number): string {
  return `/api/v1/datasets/${String(id)}/download`;
}

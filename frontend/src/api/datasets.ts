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

/** Where the lines of a dataset can be fetched. */
export function datasetLines(id: number): string {
  return `/api/v1/datasets/${String(id)}/download`;
}

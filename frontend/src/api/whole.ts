import { useEffect } from "react";

interface InPages {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  isError: boolean;
  fetchNextPage: () => Promise<unknown>;
}

/** Read a list to its end, page after page, where something is looked for in all of it. */
export function useWhole({ hasNextPage, isFetchingNextPage, isError, fetchNextPage }: InPages): void {
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && !isError) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, isError, fetchNextPage]);
}

import { useCallback, useEffect, useRef } from "react";

/** How many seconds the page was looked at since the task appeared, on top of what an earlier sitting took. */
export function useSeconds(before: number): () => number {
  const total = useRef(before);
  const since = useRef<number | null>(null);
  useEffect(() => {
    const look = (): void => {
      if (since.current !== null) total.current += (performance.now() - since.current) / 1000;
      since.current = document.visibilityState === "visible" ? performance.now() : null;
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => { document.removeEventListener("visibilitychange", look); };
  }, []);
  return useCallback(() => {
    const running = since.current === null ? 0 : (performance.now() - since.current) / 1000;
    return Math.round((total.current + running) * 10) / 10;
  }, []);
}

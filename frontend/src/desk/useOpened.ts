import { useEffect, useRef } from "react";
import type { Desk } from "./useDesk";

/** An empty desk looks again as soon as other news say that tasks are open: once for each count, whatever it finds. */
export function useOpened({ phase, lookAgain }: Pick<Desk, "phase" | "lookAgain">, open: number): void {
  const seen = useRef(0);
  useEffect(() => {
    if (phase === "empty" && open > 0 && open !== seen.current) lookAgain();
    seen.current = open;
  }, [phase, lookAgain, open]);
}

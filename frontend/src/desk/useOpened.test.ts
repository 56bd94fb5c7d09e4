import { renderHook } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import type { Desk } from "./useDesk";
import { useOpened } from "./useOpened";

test("an empty desk looks again when tasks open, and only once where it finds none", () => {
  const lookAgain = vi.fn();
  const { rerender } = renderHook(({ phase, open }: { phase: Desk["phase"]; open: number }) => { useOpened({ phase, lookAgain }, open); }, {
    initialProps: { phase: "empty", open: 0 },
  });
  expect(lookAgain).not.toHaveBeenCalled();
  rerender({ phase: "empty", open: 3 });
  rerender({ phase: "loading", open: 3 });
  rerender({ phase: "empty", open: 3 });
  expect(lookAgain).toHaveBeenCalledTimes(1);
  rerender({ phase: "working", open: 5 });
  expect(lookAgain).toHaveBeenCalledTimes(1);
});

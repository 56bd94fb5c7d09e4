import { type RefObject, useLayoutEffect, useRef } from "react";

const GLIDE_MS = 150;

/** Cards that take another place glide there, so that the eye can follow; not for those who ask for less motion. */
export function useGlide(list: RefObject<HTMLElement | null>, order: string): void {
  const places = useRef(new Map<string, { left: number; top: number }>());
  useLayoutEffect(() => {
    const before = places.current;
    const now = new Map<string, { left: number; top: number }>();
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (const element of list.current?.children ?? []) {
      if (!(element instanceof HTMLElement) || element.dataset["response"] === undefined) continue;
      const place = { left: element.offsetLeft, top: element.offsetTop };
      now.set(element.dataset["response"], place);
      const old = before.get(element.dataset["response"]);
      if (still || old === undefined || (old.left === place.left && old.top === place.top)) continue;
      const from = `translate(${String(old.left - place.left)}px, ${String(old.top - place.top)}px)`;
      element.animate([{ transform: from }, { transform: "none" }], { duration: GLIDE_MS, easing: "ease-out" });
    }
    places.current = now;
  }, [list, order]);
}

import { createContext, type ReactNode, useContext } from "react";
import { createPortal } from "react-dom";

/** The place in the shell's header where a page may say something of its own. */
export const BarPlace = createContext<HTMLElement | null>(null);

export function PageBar({ children }: { children: ReactNode }) {
  const place = useContext(BarPlace);
  return place === null ? null : createPortal(children, place);
}

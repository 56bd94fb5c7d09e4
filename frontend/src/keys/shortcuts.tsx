import { createContext, type ReactNode, useCallback, useContext, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { flushSync } from "react-dom";

export interface Shortcut {
  /** The `key` of the keyboard event: "a", "=", "Enter", "Shift+z", "Control+Enter". */
  keys: string | readonly string[];
  /** How the help shows the key; the keys themselves if left out. */
  shown?: readonly string[];
  /** What it does, for the help. */
  does: string;
  run: (event: KeyboardEvent, key: string) => void;
}

interface Registry {
  add: (group: string, shortcuts: readonly Shortcut[]) => () => void;
  groups: () => { group: string; shortcuts: readonly Shortcut[] }[];
  openHelp: () => void;
}

const Keys = createContext<Registry | null>(null);
const PREFERENCE = "laurel.single_keys";
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether keys without Ctrl do things (WCAG 2.1.4: they can be switched off). */
export function useSingleKeys(): [boolean, (on: boolean) => void] {
  const on = useSyncExternalStore(subscribe, singleKeysOn);
  const set = useCallback((value: boolean) => {
    try {
      localStorage.setItem(PREFERENCE, value ? "on" : "off");
    } catch {
      // The browser keeps no preferences.
    }
    for (const listener of listeners) listener();
  }, []);
  return [on, set];
}

function singleKeysOn(): boolean {
  try {
    return localStorage.getItem(PREFERENCE) !== "off";
  } catch {
    return true;
  }
}

/** While a text field has focus, letters are letters. */
export function isWriting(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "submit", "reset"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

/** Enter and Space belong to the button or link that has focus. */
function belongsToControl(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" && event.key !== " ") return false;
  return event.target instanceof Element && event.target.closest("button:not([role=radio]), a[href], summary, input") !== null;
}

function nameOf(event: KeyboardEvent): string {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isLetter = /^[a-z]$/.test(key);
  const shift = event.shiftKey && (isLetter || key.length > 1) ? "Shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "Control+" : ""}${event.altKey ? "Alt+" : ""}${shift}${key}`;
}

/** One listener for all keys of the page; the latest registered shortcut wins. */
export function KeysProvider({ children, onHelp }: { children: ReactNode; onHelp: () => void }) {
  const [single] = useSingleKeys();
  const registered = useRef<{ group: string; shortcuts: readonly Shortcut[] }[]>([]);
  const registry = useMemo<Registry>(
    () => ({
      add: (group, shortcuts) => {
        const entry = { group, shortcuts };
        registered.current = [...registered.current, entry];
        return () => { registered.current = registered.current.filter((each) => each !== entry); };
      },
      groups: () => registered.current,
      openHelp: onHelp,
    }),
    [onHelp],
  );
  // In the layout phase, here and below: what is on the screen can be pressed, however late the browser gets to effects.
  useLayoutEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]") !== null) return;
      const name = nameOf(event);
      if (!name.startsWith("Control+")) {
        if (isWriting(event.target) || event.altKey || belongsToControl(event)) return;
        if (!single) return;
      }
      for (const { shortcuts } of registered.current.toReversed()) {
        const found = shortcuts.find((each) => [each.keys].flat().includes(name));
        if (found !== undefined) {
          event.preventDefault();
          // Drawn before the next key comes: what a key means is decided by what the last one did.
          flushSync(() => { found.run(event, name); });
          return;
        }
      }
    };
    document.addEventListener("keydown", onKeyDown);
    return () => { document.removeEventListener("keydown", onKeyDown); };
  }, [single]);
  return <Keys value={registry}>{children}</Keys>;
}

export function useKeys(): Registry {
  const registry = useContext(Keys);
  if (registry === null) throw new Error("KeysProvider is missing above this component.");
  return registry;
}

/** Offer shortcuts while the component is on the page. */
export function useShortcuts(group: string, shortcuts: readonly Shortcut[]): void {
  const { add } = useKeys();
  const latest = useRef(shortcuts);
  useLayoutEffect(() => {
    latest.current = shortcuts;
  });
  const shape = shortcuts.map((each) => [each.keys].flat().join(" ")).join("|");
  useLayoutEffect(
    () =>
      add(
        group,
        latest.current.map((each, index) => ({
          ...each,
          run: (event, key) => latest.current[index]?.run(event, key),
        })),
      ),
    [add, group, shape],
  );
}

/** Whether the help is open. */
export function useHelp(): { isOpen: boolean; open: () => void; close: () => void } {
  const [isOpen, setOpen] = useState(false);
  const open = useCallback(() => { setOpen(true); }, []);
  const close = useCallback(() => { setOpen(false); }, []);
  return { isOpen, open, close };
}

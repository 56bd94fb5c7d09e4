import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import styles from "./toasts.module.css";

const TEN_SECONDS = 10_000;

interface Toast {
  id: number;
  text: string;
  undo?: () => void;
  /** Done when nobody has undone it. */
  settle?: () => void;
}

interface Toasts {
  say: (text: string, undo?: () => void) => void;
  /** Do something for good in ten seconds, unless someone undoes it; at once when the page closes. */
  later: (text: string, settle: () => void, undo: () => void) => void;
}

const Context = createContext<Toasts | null>(null);

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const open = useRef(new Map<number, { toast: Toast; timer: ReturnType<typeof setTimeout> }>());
  const count = useRef(0);

  const close = useCallback((id: number, how: "undo" | "settle") => {
    const entry = open.current.get(id);
    if (entry === undefined) return;
    clearTimeout(entry.timer);
    open.current.delete(id);
    setToasts((all) => all.filter((each) => each.id !== id));
    entry.toast[how]?.();
  }, []);

  const show = useCallback(
    (toast: Omit<Toast, "id">) => {
      const id = (count.current += 1);
      const entry = { ...toast, id };
      open.current.set(id, { toast: entry, timer: setTimeout(() => { close(id, "settle"); }, TEN_SECONDS) });
      setToasts((all) => [...all.slice(-2), entry]);
    },
    [close],
  );

  useEffect(() => {
    const entries = open.current;
    const settleAll = (): void => {
      for (const id of [...entries.keys()]) close(id, "settle");
    };
    window.addEventListener("pagehide", settleAll);
    return () => { window.removeEventListener("pagehide", settleAll); };
  }, [close]);

  const value = useMemo<Toasts>(
    () => ({
      say: (text, undo) => { show({ text, ...(undo && { undo }) }); },
      later: (text, settle, undo) => { show({ text, settle, undo }); },
    }),
    [show],
  );
  return (
    <Context value={value}>
      {children}
      <div className={styles["stack"]} role="status">
        {toasts.map((toast) => (
          <div key={toast.id} className={styles["toast"]}>
            <span>{toast.text}</span>
            <button type="button" onClick={() => { close(toast.id, toast.undo ? "undo" : "settle"); }}>
              {toast.undo ? "Undo" : "Close"}
            </button>
          </div>
        ))}
      </div>
    </Context>
  );
}

export function useToasts(): Toasts {
  const toasts = useContext(Context);
  if (toasts === null) throw new Error("ToastProvider is missing above this component.");
  return toasts;
}

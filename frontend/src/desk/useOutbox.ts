import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useToasts } from "../look/toasts";
import { deliver, holdsUpThisOneOnly, waitingParcels } from "./outbox";

const SEND_AGAIN_MS = 10_000;

/** Wherever someone is, what waits on their device is sent as soon as the server can be reached. */
export function useOutbox(user: number | undefined): void {
  const queries = useQueryClient();
  const { say } = useToasts();
  useEffect(() => {
    if (user === undefined) return;
    const sendAll = async (): Promise<void> => {
      for (const parcel of waitingParcels(user)) {
        const delivery = await deliver(user, parcel);
        if (delivery.type === "later") {
          if (holdsUpThisOneOnly(delivery.error)) continue;
          return;
        }
        if (delivery.type === "refused") say(delivery.error.message);
        void queries.invalidateQueries({ queryKey: ["history"] });
      }
    };
    const look = (): void => void sendAll();
    const timer = setInterval(look, SEND_AGAIN_MS);
    window.addEventListener("online", look);
    return () => {
      clearInterval(timer);
      window.removeEventListener("online", look);
    };
  }, [user, say, queries]);
}

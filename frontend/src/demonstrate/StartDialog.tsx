import { type KeyboardEvent, useEffect, useState } from "react";
import { showResponses } from "../api/leases";
import { Button } from "../look/Button";
import { Dialog } from "../look/Dialog";
import { Kbd } from "../look/Kbd";
import { Markdown } from "../look/Markdown";
import { ErrorNote, Skeleton } from "../look/states";
import styles from "./StartDialog.module.css";

type Responses = readonly { id: string; text: string }[];

interface Props {
  lease: string;
  /** Those that were shown before. */
  shown: Responses;
  onShown: (responses: { id: string; text: string }[]) => void;
  onStart: (response: Responses[number]) => void;
  onClose: () => void;
}

/** A for the first one shown. */
export function letterAt(place: number): string {
  return String.fromCharCode(65 + place);
}

/** What models wrote to the prompt; the demonstration can start from one of them. */
export function StartDialog({ lease, shown, onShown, onStart, onClose }: Props) {
  const [error, setError] = useState<unknown>(null);
  const known = shown.length > 0;
  useEffect(() => {
    if (!known) showResponses(lease).then(onShown).catch(setError);
  }, [lease, known, onShown]);
  const byKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1) return;
    const response = shown[event.key.toUpperCase().charCodeAt(0) - 65];
    if (response === undefined) return;
    event.preventDefault();
    onStart(response);
  };
  return (
    <Dialog title="Start from a response" wide onClose={onClose} onKeyDown={byKey}>
      <p className={styles["about"]}>Models wrote these. Take one and make it what it should have been; which one it was is stored with what you write.</p>
      {error !== null && <ErrorNote error={error} />}
      {!known && error === null && <Skeleton lines={4} />}
      <ol className={styles["responses"]}>
        {shown.map((response, place) => (
          <li key={response.id} aria-label={`Response ${letterAt(place)}`}>
            <Markdown text={response.text} />
            <div>
              <Button small onClick={() => { onStart(response); }}>
                Start from <Kbd>{letterAt(place)}</Kbd>
              </Button>
            </div>
          </li>
        ))}
      </ol>
    </Dialog>
  );
}

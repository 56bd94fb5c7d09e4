import { useState } from "react";

const SHOWN_MS = 2_000;

/** Whether the text was copied a moment ago, and how to copy it. */
export function useCopied(text: string): readonly [boolean, () => void] {
  const [copied, setCopied] = useState(false);
  const copy = (): void => {
    void navigator.clipboard.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => { setCopied(false); }, SHOWN_MS);
    });
  };
  return [copied, copy];
}

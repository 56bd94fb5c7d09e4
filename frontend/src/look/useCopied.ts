import { useState } from "react";

const SHOWN_MS = 2_000;

/** Put a text on the clipboard; browsers offer theirs to pages under TLS and on this machine only. */
async function write(text: string): Promise<void> {
  if (window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const aside = document.createElement("textarea");
  aside.value = text;
  document.body.append(aside);
  aside.select();
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only way without TLS
  const done = document.execCommand("copy");
  aside.remove();
  if (!done) throw new Error("The browser does not let pages copy.");
}

/** Whether the text was copied a moment ago, and how to copy it. */
export function useCopied(text: string): readonly [boolean, () => void] {
  const [copied, setCopied] = useState(false);
  const copy = (): void => {
    write(text).then(() => {
      setCopied(true);
      setTimeout(() => { setCopied(false); }, SHOWN_MS);
    }, () => undefined);
  };
  return [copied, copy];
}

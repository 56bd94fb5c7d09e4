/** What a machine said, as a sentence: with a capital at its beginning and a full stop at its end. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return trimmed === "" || /[.!?…]$/.test(trimmed) ? begun : `${begun}.`;
}

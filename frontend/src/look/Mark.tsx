/** The laurel. */
export function Mark({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" aria-hidden="true">
      <path d="M10 18V8M10 12c-3 0-5-1.6-5-4 2.6 0 5 1.2 5 4Zm0-4c0-2.8 2.4-4 5-4 0 2.6-2 4-5 4Z" />
    </svg>
  );
}

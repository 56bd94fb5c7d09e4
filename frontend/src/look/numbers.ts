const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

/** A measured number, as long as it must be: 0.714, 12.3, 1.2e-5. */
export function figure(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value === 0 || (Number.isInteger(value) && size < 1e6)) return value.toLocaleString();
  if (size < 1e-3 || size >= 1e6) return value.toExponential(2);
  return value.toLocaleString(undefined, { maximumFractionDigits: size < 1 ? 4 : size < 100 ? 3 : 1 });
}

export function percent(value: number | null | undefined): string {
  return value == null ? "–" : `${String(Math.round(value * 100))} %`;
}

/** The 95 % interval of a share, as it stands beside it: (55 to 69 %). */
export function interval({ low, high }: { low: number | null; high: number | null }): string {
  return low === null || high === null ? "(too few to say how sure)" : `(${String(Math.round(low * 100))} to ${percent(high)})`;
}

/** 1.2M tokens rather than 1,234,567. */
export function short(value: number): string {
  return value < 10_000 ? value.toLocaleString() : compact.format(value);
}

export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, size)) / 3));
  return `${(size / 1000 ** power).toLocaleString(undefined, { maximumFractionDigits: power === 0 ? 0 : 1 })} ${units[power] ?? ""}`;
}

/** sha256:9f2c… : enough to tell two apart. */
export function digestStart(digest: string): string {
  return `${digest.replace("sha256:", "").slice(0, 10)}…`;
}

/** 1st, 2nd, 3rd, 4th. */
export function ordinal(rank: number): string {
  const ending = ["th", "st", "nd", "rd"][rank] ?? "th";
  return `${String(rank)}${ending}`;
}

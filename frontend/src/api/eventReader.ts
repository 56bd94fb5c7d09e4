/** Reads server-sent events from text that comes in pieces, however the network cut it. */
export class EventReader {
  private rest = "";

  /** The data of the events that this piece completes. */
  push(piece: string): string[] {
    const parts = (this.rest + piece).split(/\r?\n\r?\n/);
    this.rest = parts.pop() ?? "";
    return parts.flatMap((part) => {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      return data.length === 0 ? [] : [data.map((line) => line.slice(5).replace(/^ /, "")).join("\n")];
    });
  }
}

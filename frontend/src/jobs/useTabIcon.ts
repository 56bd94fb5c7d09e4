import { useEffect } from "react";

const SIZE = 32;

/** The tab's icon as a ring that fills; the laurel comes back when there is nothing to show. */
export function useTabIcon(share: number | null): void {
  const percent = share === null ? null : Math.round(share * 100);
  useEffect(() => {
    const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
    if (link === null || percent === null) return;
    const { href, type } = link;
    const drawn = ring(percent / 100);
    if (drawn === null) return;
    link.type = "image/png";
    link.href = drawn;
    return () => {
      link.type = type;
      link.href = href;
    };
  }, [percent]);
}

function ring(share: number): string | null {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const brush = canvas.getContext("2d");
  if (brush === null) return null;
  const style = getComputedStyle(document.documentElement);
  brush.lineWidth = 6;
  for (const [name, end] of [["--line-strong", 1], ["--laurel", share]] as const) {
    brush.strokeStyle = style.getPropertyValue(name).trim();
    brush.beginPath();
    brush.arc(SIZE / 2, SIZE / 2, SIZE / 2 - 4, -Math.PI / 2, -Math.PI / 2 + end * 2 * Math.PI);
    brush.stroke();
  }
  return canvas.toDataURL();
}

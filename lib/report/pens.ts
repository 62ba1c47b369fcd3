/** Pens that tell curves apart: each has its own combination of colour, dash and marker. */

import { type Markup, markup } from "./markup.ts";

/** How a line is drawn. */
export interface LineStyle {
  readonly color: string;
  /** Lengths of strokes and gaps, for SVG; a solid line if left out or "none". */
  readonly dash?: string;
  readonly marker?: Marker;
  /** True if the marker is drawn as an outline. */
  readonly hollow?: boolean;
}

/** A line of a chart, as its legend names it. */
export interface Line extends LineStyle {
  /** Words as in a document's `Text`. */
  readonly name: string;
}

/** Colour, dash and marker of one curve. */
export type Pen = Required<LineStyle>;

/** Corners of a marker whose radius is 1. */
type Marker = readonly (readonly [x: number, y: number])[];

/** Number of colours in `style.ts`: `--run0` and so on. */
const COLORS = 7;
/** Dashes that can be told apart. */
export const dashes: readonly string[] = [
  "none",
  "8 3",
  "2 3",
  "10 3 2 3",
  "5 2 1 2 1 2",
  "14 4",
];

/** Returns a marker with that many corners, the first of them at `from`, a share of a turn. */
function polygon(corners: number, from: number, radius = 1): Marker {
  return Array.from({ length: corners }, (_, i) => {
    const angle = 2 * Math.PI * (from + i / corners);
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

const markers: readonly Marker[] = [
  polygon(14, 0),
  polygon(4, 1 / 8, 1.2),
  polygon(3, 3 / 4, 1.3),
  polygon(4, 0, 1.3),
  polygon(3, 1 / 4, 1.3),
];

/**
 * Returns the pen of curve `i`. No two of the first 30 pens have the same dash and marker, so they
 * can be told apart without colour; no two of the first 210 are equal.
 */
export function penOf(
  i: number,
  { hollow = false }: { readonly hollow?: boolean } = {},
): Pen {
  return {
    color: `var(--run${i % COLORS})`,
    dash: dashes[Math.floor(i / markers.length) % dashes.length]!,
    marker: markers[i % markers.length]!,
    hollow,
  };
}

/** The drawing methods that a plot passes to its symbols: a path in SVG or in a canvas. */
interface Path {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  closePath(): void;
}

/** Returns a marker as a symbol of Observable Plot. */
export function symbolOf({ marker }: { readonly marker: Marker }): {
  draw(path: Path, size: number): void;
} {
  return {
    draw(path, size) {
      const r = Math.sqrt(size / Math.PI);
      marker.forEach(([x, y], i) =>
        i === 0 ? path.moveTo(x * r, y * r) : path.lineTo(x * r, y * r)
      );
      path.closePath();
    },
  };
}

/** Draws a line with its marker as a small picture, for a legend or a table. */
export function lineKey(
  { color, dash = "none", marker, hollow }: LineStyle,
): Markup {
  const points = marker?.map(([x, y]) =>
    `${(15 + 3.6 * x).toFixed(1)},${(6 + 3.6 * y).toFixed(1)}`
  ).join(" ");
  return markup`<svg class="pen" viewBox="0 0 30 12" aria-hidden="true" style="color:${color}"><path d="M0 6H30" stroke-dasharray="${dash}"/>${
    points !== undefined &&
    markup`<polygon points="${points}"${hollow && markup` class="hollow"`}/>`
  }</svg>`;
}

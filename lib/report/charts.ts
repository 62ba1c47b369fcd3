/** Shapes, axes and shades that all charts share. */

import { shortened, widthOf } from "./labels.ts";
import { type Markup, markup } from "./markup.ts";
import { count } from "./numbers.ts";
import { lineKey } from "./pens.ts";
import type { Plotter, ScaleOptions } from "./plotter.ts";

/** Draws a chart in two shapes; the page shows the one that suits its width. */
export function wideAndNarrow(
  draw: (size: { width: number; height: number }) => Markup,
): Markup {
  return markup`<div class="wide">${draw({ width: 1040, height: 440 })}</div>
<div class="narrow">${draw({ width: 380, height: 380 })}</div>`;
}

/** Returns an axis from 0 to a number, with ticks at whole numbers if the axis counts something. */
export function countAxis(
  last: number,
  { ticks, whole = true }: { readonly ticks: number; readonly whole?: boolean },
): Pick<ScaleOptions, "domain" | "ticks" | "tickFormat"> {
  return {
    domain: [0, last],
    ...whole
      ? {
        ticks: last <= ticks
          ? Array.from({ length: Math.floor(last) + 1 }, (_, i) => i)
          : ticks,
        tickFormat: count,
      }
      : { ticks },
  };
}

/** Returns the pixels that an axis of about seven ticks needs at its left for their labels. */
export function axisMargin(low: number, high: number): number {
  const step = (high - low) / 7 || 1;
  const digits = Math.min(20, Math.max(0, Math.ceil(-Math.log10(step))));
  const widest = high.toLocaleString("en", { minimumFractionDigits: digits });
  return Math.max(40, 14 + widthOf(widest));
}

/** Returns a layer's colour, between those of the first and the last layer; layers are counted from 0. */
export function layerColor(layer: number, layers: number): string {
  const share = Math.round(100 * layer / Math.max(1, layers - 1));
  return `color-mix(in oklab, var(--last) ${share}%, var(--first))`;
}

/** A line of a chart, as its legend names it. */
export interface Line {
  readonly name: string;
  readonly color: string;
  /** Lengths of strokes and gaps, for SVG; a solid line if left out. */
  readonly dash?: string;
}

/** Returns a legend: a key and a name for each line, then the note. */
export function legend(lines: readonly Line[], note?: string): Markup {
  return markup`<div class="legend">${
    lines.map(({ name, color, dash = "none" }) =>
      markup`<span>${lineKey({ color, dash })}${name}</span>
`
    )
  }${note !== undefined && markup`<span>${note}</span>`}</div>
`;
}

/** A point of a named line. */
export interface LinePoint {
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

/** Numbers as they are. */
const plain = { tickFormat: String };

/** Draws lines with their legend; returns nothing if there are no points. */
export function lineChart(
  plotter: Plotter,
  points: readonly LinePoint[],
  { lines, about, x, y, limit, shares, dots = false, size, marginRight = 14 }: {
    readonly lines: readonly Line[];
    /** Description of the chart for screen readers. */
    readonly about: string;
    readonly x: ScaleOptions;
    readonly y: string | null;
    /** A vertical line. */
    readonly limit?: { readonly at: number; readonly text: string };
    /** Ticks of a logarithmic y axis; a linear one has its own. */
    readonly shares?: readonly number[];
    /** True to draw the points as dots. */
    readonly dots?: boolean;
    /** The chart's only size; if left out, it is drawn in two sizes for pages of any width. */
    readonly size?: { readonly width: number; readonly height: number };
    readonly marginRight?: number;
  },
): Markup {
  if (points.length === 0) return markup``;
  const { plot } = plotter;
  const byName = Map.groupBy(points, ({ name }) => name);
  const limits = limit === undefined ? [] : [limit];
  const draw = ({ width, height }: { width: number; height: number }) =>
    plotter.draw({
      ...{ width, height, marginLeft: 44, marginRight, ariaLabel: about },
      x: width < 400 && typeof x.ticks === "number" ? { ...x, ticks: 4 } : x,
      y: {
        ...{ label: y, grid: true, nice: true, zero: size !== undefined },
        ...shares && { type: "log", ticks: shares, ...plain },
      },
      marks: [
        plot.ruleX(limits, {
          x: "at",
          stroke: "currentColor",
          strokeDasharray: "2 4",
        }),
        plot.text(limits, {
          ...{ x: "at", text: "text", frameAnchor: "top" },
          ...{ textAnchor: "start", dx: 5, fill: "var(--dim)" },
        }),
        ...lines.flatMap(({ name, color, dash = "none" }) => [
          plot.line(byName.get(name) ?? [], {
            ...{ x: "x", y: "y", stroke: color, strokeDasharray: dash },
            strokeWidth: 2,
          }),
          plot.dot(byName.get(name) ?? [], {
            ...{ x: "x", y: "y", fill: color, r: dots ? 4 : 6 },
            fillOpacity: dots ? 1 : 0,
            title: ({ x: at, y }: LinePoint) =>
              `${name}, ${x.label ?? "at"} ${count(Number(at.toFixed(1)))}: ${
                y.toFixed(3)
              }`,
          }),
        ]),
      ],
    });
  return markup`${legend(lines)}${
    size === undefined
      ? wideAndNarrow(({ width, height }) =>
        draw({ width, height: height - 60 })
      )
      : draw(size)
  }`;
}

/** A dot on the row of its name, on a line. */
export interface RowDot {
  readonly row: string;
  readonly value: number;
  /** Ends of the dot's line. */
  readonly from: number;
  readonly to: number;
  readonly color: string;
  readonly pale?: boolean;
  readonly title: string;
}

/** Draws dots in named rows, to the left and to the right of 0. */
export function dotChart(
  plotter: Plotter,
  dots: readonly RowDot[],
  { rows, about }: {
    readonly rows: readonly string[];
    /** Description of the chart for screen readers. */
    readonly about: string;
  },
): Markup {
  const { plot } = plotter;
  return wideAndNarrow(({ width }) => {
    const isNarrow = width < 500;
    const labels = shortened(rows, isNarrow ? 24 : 40);
    const label = new Map(rows.map((name, i) => [name, labels[i]!]));
    return plotter.draw({
      width,
      height: 60 + 17 * rows.length,
      marginLeft: Math.ceil(Math.max(...labels.map(widthOf))) + 20,
      marginRight: 20,
      marginTop: 30,
      ariaLabel: about,
      x: { label: null, grid: true, axis: "top", ticks: isNarrow ? 3 : 5 },
      y: {
        domain: rows,
        label: null,
        tickSize: 0,
        tickFormat: (name: string) => label.get(name)!,
      },
      marks: [
        plot.ruleX([0], { stroke: "currentColor" }),
        plot.ruleY(dots, {
          ...{ y: "row", x1: "from", x2: "to", stroke: "color" },
          ...{ strokeWidth: 2, strokeOpacity: 0.6 },
        }),
        plot.dot(dots, {
          ...{ y: "row", x: "value", r: 4, fill: "color", title: "title" },
          fillOpacity: ({ pale }: RowDot) => pale ? 0.4 : 1,
        }),
      ],
      color: { type: "identity" },
    });
  });
}

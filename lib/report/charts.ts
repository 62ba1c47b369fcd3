/** Shapes, axes and shades that all charts share, and the two kinds of chart that most of them are. */

import { legend } from "./html.ts";
import { dodged, shortened, widthOf } from "./labels.ts";
import { type Markup, markup } from "./markup.ts";
import { count } from "./numbers.ts";
import { type Line, type LineStyle, symbolOf } from "./pens.ts";
import type { PictureOptions, Plotter, ScaleOptions } from "./plotter.ts";
import { type Point, thinned } from "./series.ts";

/** Width and height of a chart, in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Draws a chart in two shapes; the page shows the one that suits its width. */
export function wideAndNarrow(draw: (size: Size) => Markup): Markup {
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

/** A curve of a chart. */
export interface Curve extends LineStyle {
  /** Its points, with the words that appear when the reader points at one. */
  readonly points: readonly (Point & { readonly title?: string })[];
  readonly width?: number;
  readonly opacity?: number;
  /** Radius of a dot at each point; without it, points are not seen. */
  readonly dot?: number;
  /** Most points that the reader can point at. */
  readonly tips?: number;
}

/** Words beside the right end of a chart, in the height of a value. */
export interface EndLabel {
  readonly text: string;
  readonly y: number;
  /** The end of the curve that a thin line of this colour leads from; no line if left out. */
  readonly from?: { readonly x: number; readonly color: string };
}

/** A line across a chart. */
export interface Level extends LineStyle {
  readonly y: number;
}

/** Most markers on a curve. */
const MARKERS = 8;
/** Pixels between two labels beside a chart, and between the first and the plot. */
const [LABEL_GAP, LABEL_SPACE] = [13, 6];

/**
 * Draws curves over an x axis from 0.
 *
 * @param options those of Observable Plot; with `ends`, both axes need a domain
 */
export function drawCurves(
  plotter: Plotter,
  { curves, levels = [], ends = [], height, x, y, ...options }:
    & PictureOptions
    & {
      readonly curves: readonly Curve[];
      readonly levels?: readonly Level[];
      /** Labels at the right, moved apart; the chart grows if they need more room. */
      readonly ends?: readonly EndLabel[];
      readonly x: ScaleOptions;
      readonly y: ScaleOptions;
    },
): Markup {
  const { plot } = plotter;
  const [marginTop, marginBottom] = [20, 36];
  const labels = ends.length > 0 && {
    marginRight: 2 * LABEL_SPACE +
      Math.max(...ends.map((e) => widthOf(e.text))),
    ...{ marginTop, marginBottom },
  };
  const frame = {
    ...options,
    ...labels,
    height: Math.max(
      height,
      marginTop + marginBottom + LABEL_GAP * ends.length,
    ),
    x,
    y: { grid: true, ...y },
  };
  const scale = labels && plotter.scale(frame, "y");
  const places = scale &&
    dodged(ends.map(({ y }) => scale.apply(y)), LABEL_GAP, [
      marginTop,
      frame.height - marginBottom,
    ]).map((pixel) => scale.invert(pixel));
  const at = (_: EndLabel, i: number) => places && places[i];
  const [, edge] = [...x.domain ?? []];
  const linked = ends.filter(({ from }) => from !== undefined);
  const xy = { x: "x", y: "y" } as const;
  return plotter.draw({
    ...frame,
    marks: [
      ...levels.map(({ y, color, dash = "2 4" }) =>
        plot.ruleY([y], { stroke: color, strokeDasharray: dash })
      ),
      ...options.marks ?? [],
      plot.link(linked, {
        x1: ({ from }: EndLabel) => from!.x,
        ...{ x2: () => edge, y1: "y" },
        y2: (end: EndLabel) => at(end, ends.indexOf(end)),
        stroke: ({ from }: EndLabel) => from!.color,
        ...{ strokeOpacity: 0.5, strokeWidth: 0.8 },
      }),
      plot.text(ends, {
        ...{ x: () => edge, y: at, text: "text", dx: LABEL_SPACE },
        ...{ textAnchor: "start" },
        fill: ({ from }: EndLabel) => from ? "var(--ink)" : "var(--dim)",
      }),
      ...curves.flatMap((curve) => {
        const { points, color, dash, width = 2, opacity = 1, dot } = curve;
        const { marker, hollow } = curve;
        const pointed = points.filter(({ title }) => title !== undefined);
        return [
          plot.line(points, {
            ...{ ...xy, stroke: color, strokeWidth: hollow ? 1.2 : width },
            ...{ strokeOpacity: opacity, strokeDasharray: dash ?? "none" },
          }),
          ...marker
            ? [
              plot.dot(thinned(points, MARKERS), {
                ...{ ...xy, r: 4, symbol: symbolOf({ marker }) },
                ...hollow
                  ? { stroke: color, fill: "var(--page)", strokeWidth: 1.5 }
                  : { fill: color },
              }),
            ]
            : [],
          plot.dot(thinned(pointed, curve.tips ?? Infinity), {
            ...{ ...xy, fill: color, title: "title" },
            ...{ r: dot ?? 6, fillOpacity: dot === undefined ? 0 : 1 },
          }),
        ];
      }),
    ],
    color: { type: "identity" },
  });
}

/** Ticks whose numbers are shown as they are. */
export const plain: Pick<ScaleOptions, "tickFormat"> = { tickFormat: String };

/** Draws lines through the points of their names, with their legend; returns nothing if there are no points. */
export function lineChart(
  plotter: Plotter,
  points: readonly (Point & { readonly name: string })[],
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
    readonly size?: Size;
    readonly marginRight?: number;
  },
): Markup {
  if (points.length === 0) return markup``;
  const { plot } = plotter;
  const byName = Map.groupBy(points, ({ name }) => name);
  const limits = limit === undefined ? [] : [limit];
  const draw = ({ width, height }: Size) =>
    drawCurves(plotter, {
      ...{ width, height, marginLeft: 44, marginRight, ariaLabel: about },
      x: width < 400 && typeof x.ticks === "number" ? { ...x, ticks: 4 } : x,
      y: {
        ...{ label: y, nice: true, zero: size !== undefined },
        ...shares && { type: "log", ticks: shares, ...plain },
      },
      marks: [
        plot.ruleX(limits, {
          ...{ x: "at", stroke: "currentColor", strokeDasharray: "2 4" },
        }),
        plot.text(limits, {
          ...{ x: "at", text: "text", frameAnchor: "top" },
          ...{ textAnchor: "start", dx: 5, fill: "var(--dim)" },
        }),
      ],
      curves: lines.map((line) => ({
        ...line,
        ...dots && { dot: 4 },
        points: (byName.get(line.name) ?? []).map((point) => ({
          ...point,
          title: `${line.name}, ${x.label ?? "at"} ${
            count(Number(point.x.toFixed(1)))
          }: ${point.y.toFixed(3)}`,
        })),
      })),
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

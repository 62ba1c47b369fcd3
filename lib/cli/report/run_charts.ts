/** The charts of one run: losses, learning rates, gradient norm, speed and update sizes. */

import {
  axisMargin,
  countAxis,
  type Curve,
  drawCurves,
  layerColor,
  type Level,
  wideAndNarrow,
} from "../../report/charts.ts";
import type { Figure } from "../../report/document.ts";
import { count, short } from "../../report/numbers.ts";
import { dashes, type Line, type LineStyle } from "../../report/pens.ts";
import type { ScaleOptions } from "../../report/plotter.ts";
import {
  extremes,
  type Point,
  smoothed,
  thinned,
} from "../../report/series.ts";
import type { Yardstick } from "./measurement.ts";
import type { RunRecord } from "./run_record.ts";

/** The lines of a run's losses. */
export const lossLines = {
  batch: { name: "training batches, smoothed", color: "var(--batch)" },
  train: { name: "training split", color: "var(--train)", dash: "5 3" },
  val: { name: "validation split", color: "var(--val)" },
} as const;

/** Returns the points of a curve; events whose value is no number have none. */
function pointsOf<Event extends { readonly step: number }>(
  events: readonly Event[],
  value: (event: Event) => number,
): Point[] {
  return events.map((event) => ({ x: event.step, y: value(event) }))
    .filter(({ y }) => Number.isFinite(y));
}

/** Adds titles with step and value to the points of a curve. */
function titled(points: readonly Point[], name: string): Curve["points"] {
  return points.map(({ x, y }) => ({
    ...{ x, y },
    title: `step ${count(x)}: ${name} ${short(y)}`,
  }));
}

/** Returns a curve of all values, pale, and one of their means over it. */
function noisy(
  points: readonly Point[],
  { name, color, buckets }: {
    readonly name: string;
    readonly color: string;
    readonly buckets: number;
  },
): Curve[] {
  return [
    {
      ...{ color: "var(--batch)", width: 0.8, opacity: 0.45 },
      points: extremes(points, buckets),
    },
    { color, width: 1.8, points: titled(smoothed(points), name), tips: 60 },
  ];
}

/** Draws losses by step, with the losses of n-gram models. */
export function lossFigure(
  { steps, evals }: RunRecord,
  yardsticks: readonly Yardstick[],
): Figure {
  const { batch, train, val } = lossLines;
  const counted = { color: "var(--dim)", dash: "2 4" };
  const batches = pointsOf(steps, ({ loss }) => loss);
  const shown = thinned(evals, 160);
  const last = Math.max(batches.at(-1)?.x ?? 1, evals.at(-1)?.step ?? 1);
  const values = [
    ...batches.map(({ y }) => y),
    ...evals.flatMap(({ trainLoss, valLoss }) => [trainLoss, valLoss]),
    ...yardsticks.map(({ loss }) => loss),
  ];
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const room = (high - low) * 0.04;
  return {
    lines: [
      batch,
      ...evals.length > 0 ? [train, val] : [],
      ...yardsticks.length > 0
        ? [{
          ...counted,
          name: "n-gram models of the same text, interpolated (Witten-Bell)",
        }]
        : [],
    ],
    draw: (plotter) =>
      wideAndNarrow((size) =>
        drawCurves(plotter, {
          ...size,
          ariaLabel:
            "Line chart of losses by step; the numbers of the evaluations are in the table below it",
          marginLeft: axisMargin(low, high),
          marginRight: 14,
          x: {
            label: "step",
            ...countAxis(last, { ticks: size.width < 500 ? 4 : 8 }),
          },
          y: {
            ...{ label: "nats per token", ticks: 7 },
            domain: [Math.max(0, low - room), high + room],
          },
          levels: yardsticks.map(({ loss }) => ({ ...counted, y: loss })),
          ends: yardsticks.map(({ name, loss }) => ({
            ...{ text: `${name} ${loss.toFixed(2)}`, y: loss },
          })),
          curves: [
            ...noisy(batches, {
              ...{ name: "loss", color: batch.color },
              buckets: size.width < 500 ? 150 : 300,
            }),
            // The training split's line is narrower, so both are visible where they coincide.
            ...([["valLoss", val, 3], ["trainLoss", train, 1.4]] as const)
              .map(([field, line, width]) => ({
                ...{ ...line, width },
                dot: (shown.length > 40 ? 0.5 : 1.2) + width * 0.6,
                points: shown.map((event) => ({
                  ...{ x: event.step, y: event[field] },
                  title: `step ${count(event.step)}: validation ${
                    event.valLoss.toFixed(4)
                  }, training split ${event.trainLoss.toFixed(4)}`,
                })),
              })),
          ],
        })
      ),
  };
}

/** Draws learning rates, gradient norm and speed by step. */
export function trainingFigures({ steps, train }: RunRecord): Figure[] {
  const clip = Number(train["gradClip"]);
  return [
    rateFigure(pointsOf(steps, ({ learningRate }) => learningRate), train),
    noisyFigure(pointsOf(steps, ({ gradNorm }) => gradNorm), {
      caption: "Gradient norm before clipping",
      ...(clip > 0 && { limit: clip }),
    }),
    noisyFigure(pointsOf(steps, ({ tokensPerSecond }) => tokensPerSecond), {
      caption: "Tokens per second",
    }),
  ];
}

/** Draws the learning rate and, if there is one, Muon's own, which follows the same schedule. */
function rateFigure(
  points: readonly Point[],
  { optimizer, learningRate, muonLearningRate }: RunRecord["train"],
): Figure {
  const ratio = optimizer === "muon"
    ? Number(muonLearningRate) / Number(learningRate)
    : NaN;
  const hasTwo = ratio > 0;
  const { val, train } = lossLines;
  const lines = [
    { ...val, name: hasTwo ? "AdamW" : "learning rate", of: 1 },
    { ...train, name: "Muon, for the blocks' matrices", of: ratio },
  ].slice(0, hasTwo ? 2 : 1);
  return stepFigure({
    ...{ caption: "Learning rate", lines: hasTwo ? lines : [] },
    last: points.at(-1)?.x,
    curves: lines.map(({ of, ...line }) => ({
      ...{ ...line, width: 1.8, tips: 40 },
      points: titled(
        extremes(points, 100).map(({ x, y }) => ({ x, y: of * y })),
        line.name,
      ),
    })),
  });
}

/** Draws a quantity that varies from step to step, and its mean. */
function noisyFigure(
  points: readonly Point[],
  { caption, limit }: { readonly caption: string; readonly limit?: number },
): Figure {
  const most = points.reduce((a, { y }) => Math.max(a, y), 0);
  const name = limit === undefined ? "" : `clipped above ${short(limit)}`;
  const line = { name, color: "var(--train)", dash: "4 3" };
  // A line far above all values would flatten the curve.
  const drawn = limit !== undefined && limit < 1.5 * most;
  return stepFigure({
    ...{ caption, last: points.at(-1)?.x },
    ...(drawn && { lines: [line], levels: [{ ...line, y: limit }] }),
    ...(limit !== undefined && !drawn && { note: name }),
    curves: noisy(points, {
      ...{ name: caption.toLowerCase(), color: "var(--val)", buckets: 130 },
    }),
  });
}

/** Draws a small chart by step. */
function stepFigure(
  { last = 1, curves, levels = [], y, about, ...figure }:
    & Omit<Figure, "draw" | "caption">
    & {
      readonly caption: string;
      readonly last: number | undefined;
      readonly curves: readonly Curve[];
      readonly levels?: readonly Level[];
      readonly y?: ScaleOptions;
      /** Description of the chart for screen readers. */
      readonly about?: string;
    },
): Figure {
  return {
    ...figure,
    draw: (plotter) =>
      drawCurves(plotter, {
        ...{ width: 340, height: 190, curves, levels },
        ...{ marginLeft: 44, marginRight: 18, marginTop: 12 },
        ariaLabel: about ??
          `Line chart of the ${figure.caption.toLowerCase()} by step`,
        x: { label: "step", ...countAxis(last, { ticks: 4 }) },
        y: { label: null, zero: true, ticks: 4, tickFormat: tick, ...y },
      }),
  };
}

/** Formats 12000 as 12k, 0.0005 as 5e-4. */
function tick(value: number): string {
  return value >= 1000
    ? `${Number((value / 1000).toPrecision(3))}k`
    : short(value);
}

/** Draws update-to-weight ratios: a chart for each kind of matrix, with a line for each layer; undefined if there are none. */
export function updateFigures(
  { updates }: RunRecord,
): { readonly figures: Figure[]; readonly lines: Line[] } | undefined {
  const all = thinned(updates, 80).flatMap(({ step, ratios }) =>
    Object.entries(ratios).map(([name, y]) => {
      // A matrix's name is `h.LAYER.KIND.weight`, or `KIND.weight` outside the layers.
      const [, layer, kind = name] = /^(?:h\.(\d+)\.)?(.*?)(?:\.weight)?$/
        .exec(name)!;
      const title = `${name}, step ${count(step)}: ${short(y)}`;
      return { x: step, y, title, kind, layer: Number(layer ?? -1) };
    })
  ).filter(({ y }) => y > 0);
  if (all.length === 0) return undefined;
  const ratios = all.map(({ y }) => y);
  const domain = [
    Math.min(...ratios, 5e-4) * 0.8,
    Math.max(...ratios, 2e-3) * 1.25,
  ] as const;
  const layers = 1 + all.reduce((most, { layer }) => Math.max(most, layer), 0);
  const outside = all.filter(({ layer }) => layer < 0).map(({ kind }) => kind);
  return {
    lines: [
      ...Array.from({ length: layers }, (_, layer) => ({
        ...{ name: `layer ${layer + 1}`, ...layerLine(layer, layers) },
      })),
      ...[...new Set(outside)].map((name) => ({
        ...{ name, color: outsideColor(name) },
      })),
    ],
    figures: Array.from(
      Map.groupBy(all, ({ kind }) => kind),
      ([caption, ratios]) =>
        stepFigure({
          ...{ caption, last: all.at(-1)!.x },
          about:
            `Line chart of the update-to-weight ratio of ${caption} by step, a line for each layer`,
          y: {
            ...{ type: "log", domain, zero: false },
            ...{ ticks: logTicks(domain), tickFormat: short },
          },
          levels: [{ y: 1e-3, color: "currentColor" }],
          curves: Array.from(
            Map.groupBy(ratios, ({ layer }) => layer),
            ([layer, points]) => ({
              ...layer < 0
                ? { color: outsideColor(caption) }
                : layerLine(layer, layers),
              ...{ points, width: 1.8 },
              // Many dots would hide the dashes.
              ...points.length <= 12 && { dot: 2.5 },
            }),
          ),
        }),
    ),
  };
}

/** Returns 1, 2 and 5 times powers of ten between two values; the powers alone if all would be many. */
function logTicks([low, high]: readonly [number, number]): number[] {
  const [all, powers] = [[1, 2, 5], [1]].map((digits) =>
    [-7, -6, -5, -4, -3, -2, -1, 0]
      .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)))
      .filter((tick) => tick >= low && tick <= high)
  ) as [number[], number[]];
  return all.length > 6 ? powers : all;
}

/** Returns a layer's colour and a dash that differs from its neighbours'. */
function layerLine(layer: number, layers: number): LineStyle {
  return {
    color: layerColor(layer, layers),
    dash: dashes[layer % dashes.length]!,
  };
}

/** Returns the colour of a matrix outside the layers, which no layer has. */
export function outsideColor(name: string): string {
  return { wte: "var(--run2)", lm_head: "var(--run3)" }[name] ?? "var(--ink)";
}

/** The charts of one run: losses, what training was like, how far the weights moved. */

import { type Markup, markup } from "./markup.ts";
import type { Plot, Plotter } from "./plotter.ts";
import type { RunRecord } from "./run_record.ts";
import { extremes, type Point, smoothed, thinned } from "./series.ts";
import type { Yardstick } from "./yardsticks.ts";

/** A chart in two shapes: the page shows the one that suits its width. */
export function wideAndNarrow(
  draw: (size: { width: number; height: number }) => Markup,
): Markup {
  return markup`<div class="wide">${draw({ width: 1040, height: 440 })}</div>
<div class="narrow">${draw({ width: 380, height: 380 })}</div>`;
}

/** Three digits, without needless ones. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-3
    ? value.toExponential(1).replace("e+", "e").replace(".0e", "e")
    : String(Number(value.toPrecision(3)));
}

/** An axis from 0 to a number, whose ticks are whole if it counts. */
export function countAxis(
  last: number,
  { ticks, whole = true }: { readonly ticks: number; readonly whole?: boolean },
): { domain: [number, number]; ticks: number | number[] } {
  return {
    domain: [0, last],
    ticks: whole && last <= ticks
      ? Array.from({ length: Math.floor(last) + 1 }, (_, i) => i)
      : ticks,
  };
}

/** A step or another count. */
export function count(value: number): string {
  return value.toLocaleString("en");
}

/** Losses by step, with what counting reaches. */
export function lossChart(
  plotter: Plotter,
  { steps, evals }: RunRecord,
  yardsticks: readonly Yardstick[],
): Markup {
  const batches = steps.map(({ step, loss }) => ({ step, value: loss }));
  const evalSteps = thinned(evals, 160);
  const last = Math.max(batches.at(-1)?.step ?? 1, evals.at(-1)?.step ?? 1);
  const values = [
    ...extremes(batches, 300).map(({ value }) => value),
    ...evals.flatMap(({ trainLoss, valLoss }) => [trainLoss, valLoss]),
    ...yardsticks.map(({ loss }) => loss),
  ];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.04;
  return wideAndNarrow(({ width, height }) =>
    plotter.draw({
      width,
      height,
      marginLeft: 40,
      marginRight: yardsticks.length > 0 ? 88 : 14,
      ariaLabel:
        "Line chart of losses by step; the numbers of the evaluations are in the table below it",
      x: { label: "step", domain: [0, last], ticks: width < 500 ? 4 : 8 },
      y: {
        label: "nats per token",
        grid: true,
        ticks: 7,
        domain: [Math.max(0, low - room), high + room],
      },
      marks: [
        plotter.plot.ruleY(yardsticks, {
          y: "loss",
          stroke: "currentColor",
          strokeOpacity: 0.5,
          strokeDasharray: "2 4",
        }),
        plotter.plot.text(
          // A line of text is 12 pixels high, the frame 50 less than the picture.
          labelled(yardsticks, 12 * (high - low) / (height - 50)),
          {
            x: last,
            y: "at",
            text: ({ name, loss }) => `${name} ${loss.toFixed(2)}`,
            textAnchor: "start",
            dx: 6,
            fill: "var(--dim)",
          },
        ),
        plotter.plot.line(extremes(batches, width < 500 ? 150 : 300), {
          x: "step",
          y: "value",
          stroke: "var(--batch)",
          strokeOpacity: 0.45,
          strokeWidth: 0.8,
        }),
        plotter.plot.line(smoothed(batches), {
          x: "step",
          y: "value",
          stroke: "var(--batch)",
          strokeWidth: 1.8,
        }),
        // The training split's is narrower, so that both are seen where they are one.
        ...([["valLoss", "var(--val)", 3], [
          "trainLoss",
          "var(--train)",
          1.2,
        ]] as const)
          .flatMap(([y, stroke, strokeWidth]) => [
            plotter.plot.line(evalSteps, {
              ...{ x: "step", y, stroke, strokeWidth },
            }),
            plotter.plot.dot(evalSteps, {
              ...{ x: "step", y, fill: stroke },
              r: (evalSteps.length > 40 ? 0.5 : 1.2) + strokeWidth * 0.6,
              title: ({ step, trainLoss, valLoss }) =>
                `step ${count(step)}: validation ${
                  valLoss.toFixed(4)
                }, training split ${trainLoss.toFixed(4)}`,
            }),
          ]),
        ...probes(plotter.plot, smoothed(batches, { count: 60 }), "loss"),
      ],
    })
  );
}

/** Where each yardstick's label stands, beside its line: not on that of the one above. */
function labelled(
  yardsticks: readonly Yardstick[],
  height: number,
): (Yardstick & { readonly at: number })[] {
  let above = Infinity;
  return yardsticks.toSorted((a, b) => b.loss - a.loss).map((yardstick) => {
    above = Math.min(yardstick.loss, above - height);
    return { ...yardstick, at: above };
  });
}

/** Invisible points along a curve that tell its values. */
function probes(
  plot: Plot,
  points: readonly Point[],
  name: string,
) {
  return [
    plot.dot(points, {
      x: "step",
      y: "value",
      r: 7,
      fill: "var(--batch)",
      fillOpacity: 0,
      title: ({ step, value }: Point) =>
        `step ${count(step)}: ${name} ${short(value)}`,
    }),
  ];
}

/** A small chart with its title. */
export interface SmallChart {
  readonly title: string;
  readonly picture: Markup;
}

const SMALL = {
  width: 340,
  height: 190,
  marginLeft: 44,
  marginRight: 14,
  marginTop: 12,
};

/** Learning rate, gradient norm and speed by step. */
export function trainingCharts(
  plotter: Plotter,
  { steps, train }: RunRecord,
): SmallChart[] {
  const of = (value: (event: RunRecord["steps"][number]) => number) =>
    steps.map((event) => ({ step: event.step, value: value(event) }))
      .filter(({ value }) => Number.isFinite(value));
  const clip = Number(train["gradClip"]);
  return [
    {
      title: "Learning rate",
      picture: stepChart(plotter, of((event) => event.learningRate), {
        name: "learning rate",
        exact: true,
      }),
    },
    {
      title: "Gradient norm before clipping",
      picture: stepChart(plotter, of((event) => event.gradNorm), {
        name: "gradient norm",
        ...(clip > 0 && { limit: { value: clip, name: "clipped above" } }),
      }),
    },
    {
      title: "Tokens per second",
      picture: stepChart(plotter, of((event) => event.tokensPerSecond), {
        name: "tokens per second",
      }),
    },
  ];
}

function stepChart(
  plotter: Plotter,
  points: readonly Point[],
  { name, exact = false, limit }: {
    readonly name: string;
    /** Whether there is no noise to smooth. */
    readonly exact?: boolean;
    readonly limit?: { readonly value: number; readonly name: string };
  },
): Markup {
  const curve = exact ? extremes(points, 100) : smoothed(points);
  const most = points.reduce((a, { value }) => Math.max(a, value), 0);
  // A line far above everything would flatten what there is to see.
  const limits = limit !== undefined && limit.value < 1.5 * most ? [limit] : [];
  return plotter.draw({
    ...SMALL,
    ariaLabel: `Line chart of the ${name} by step`,
    x: { label: "step", ticks: 4 },
    y: { label: null, grid: true, zero: true, ticks: 4, tickFormat: tick },
    marks: [
      ...exact ? [] : [
        plotter.plot.line(extremes(points, 130), {
          x: "step",
          y: "value",
          stroke: "var(--batch)",
          strokeOpacity: 0.45,
          strokeWidth: 0.8,
        }),
      ],
      plotter.plot.ruleY(limits, {
        y: "value",
        stroke: "var(--train)",
        strokeDasharray: "4 3",
      }),
      plotter.plot.line(curve, {
        x: "step",
        y: "value",
        stroke: "var(--val)",
        strokeWidth: 1.8,
      }),
      plotter.plot.text(limits, {
        // A margin around the letters, where they lie on curves.
        ...{ stroke: "var(--page)", strokeWidth: 4 },
        frameAnchor: "right",
        y: "value",
        text: ({ name, value }) => `${name} ${short(value)}`,
        textAnchor: "end",
        dy: -7,
        fill: "var(--dim)",
      }),
      ...probes(plotter.plot, thinned(curve, 40), name),
    ],
  });
}

/** 12000 as 12k, 0.0005 as 5e-4. */
function tick(value: number): string {
  return value >= 1000
    ? `${Number((value / 1000).toPrecision(3))}k`
    : short(value);
}

const POWERS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1];

/** How far one step moved one matrix. */
interface Ratio {
  readonly step: number;
  readonly ratio: number;
  /** From 0; -1 for what is in no layer. */
  readonly layer: number;
  readonly name: string;
}

/** Update-to-weight ratios, a chart for each kind of matrix with a line for each layer. */
export function updateCharts(
  plotter: Plotter,
  { updates }: RunRecord,
): SmallChart[] {
  const all = thinned(updates, 80).flatMap(({ step, ratios }) =>
    Object.entries(ratios).map(([name, ratio]): Ratio => {
      const [, layer = -1] = /^h\.(\d+)\./.exec(name) ?? [];
      return { step, ratio, name, layer: Number(layer) };
    })
  ).filter(({ ratio }) => ratio > 0);
  if (all.length === 0) return [];
  const ratios = all.map(({ ratio }) => ratio);
  const domain = [
    Math.min(...ratios, 5e-4) * 0.8,
    Math.max(...ratios, 2e-3) * 1.25,
  ];
  const steps = [all[0]!.step, all.at(-1)!.step];
  const layers = 1 + all.reduce((most, { layer }) => Math.max(most, layer), 0);
  const kinds = Map.groupBy(
    all,
    ({ name }) => name.replace(/^h\.\d+\./, "").replace(/\.weight$/, ""),
  );
  return [...kinds].map(([kind, points]) => ({
    title: kind,
    picture: plotter.draw({
      ...SMALL,
      height: 170,
      ariaLabel:
        `Line chart of the update-to-weight ratio of ${kind} by step, a line for each layer`,
      x: {
        label: "step",
        ticks: 4,
        domain: steps[0] === steps[1] ? [0, steps[0]! + 1] : steps,
      },
      y: {
        type: "log",
        label: null,
        grid: true,
        domain,
        ticks: POWERS.filter((power) =>
          power >= domain[0]! && power <= domain[1]!
        ),
        tickFormat: short,
      },
      marks: [
        plotter.plot.ruleY([1e-3], {
          stroke: "currentColor",
          strokeDasharray: "2 4",
        }),
        plotter.plot.line(points, {
          x: "step",
          y: "ratio",
          z: "layer",
          stroke: ({ layer }: Ratio) => layerColor(layer, layers),
          strokeWidth: 1.8,
        }),
        plotter.plot.dot(points, {
          x: "step",
          y: "ratio",
          r: 2.5,
          fill: ({ layer }: Ratio) => layerColor(layer, layers),
          title: ({ name, step, ratio }: Ratio) =>
            `${name}, step ${count(step)}: ${short(ratio)}`,
        }),
      ],
      color: { type: "identity" },
    }),
  }));
}

/** A colour between those of the first and the last layer; another one for what is in no layer, -1. */
export function layerColor(layer: number, layers: number): string {
  if (layer < 0) return "var(--batch)";
  const share = Math.round(100 * layer / Math.max(1, layers - 1));
  return `color-mix(in oklab, var(--last) ${share}%, var(--first))`;
}

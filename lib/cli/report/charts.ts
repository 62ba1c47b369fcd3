/** The charts of one run: losses, learning rates, gradient norm and speed. */

import { type Content, type Markup, markup } from "../../report/markup.ts";
import { axisMargin, countAxis, wideAndNarrow } from "../../report/charts.ts";
import { dodged } from "../../report/labels.ts";
import { count, short } from "../../report/numbers.ts";
import { lineKey } from "../../report/pens.ts";
import type { PictureOptions, Plot, Plotter } from "../../report/plotter.ts";
import type { RunRecord } from "./run_record.ts";
import {
  extremes,
  type Point,
  smoothed,
  thinned,
} from "../../report/series.ts";
import type { Yardstick } from "./yardsticks.ts";

/** The lines of a run's losses. */
export const lossLines = {
  batch: { color: "var(--batch)", dash: "none" },
  train: { color: "var(--train)", dash: "5 3" },
  val: { color: "var(--val)", dash: "none" },
} as const;

/** Draws losses by step, with the losses that counting reaches. */
export function lossChart(
  plotter: Plotter,
  { steps, evals }: RunRecord,
  yardsticks: readonly Yardstick[],
): Markup {
  const batches = steps.map(({ step, loss }) => ({ step, value: loss }));
  const evalSteps = thinned(evals, 160);
  const last = Math.max(batches.at(-1)?.step ?? 1, evals.at(-1)?.step ?? 1);
  const values = [
    ...[
      batches,
      evals.map(({ step, valLoss }) => ({ step, value: valLoss })),
      evals.map(({ step, trainLoss }) => ({ step, value: trainLoss })),
    ].flatMap((curve) => extremes(curve, 300).map(({ value }) => value)),
    ...yardsticks.map(({ loss }) => loss),
  ];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.04;
  const [marginTop, marginBottom] = [20, 36];
  return wideAndNarrow(({ width, height }) => {
    const frame = {
      ...{ width, height, marginTop, marginBottom },
      marginLeft: axisMargin(low, high),
      marginRight: yardsticks.length > 0 ? 88 : 14,
      x: { label: "step", ...countAxis(last, { ticks: width < 500 ? 4 : 8 }) },
      y: {
        label: "nats per token",
        grid: true,
        ticks: 7,
        domain: [Math.max(0, low - room), high + room],
      },
    };
    const y = plotter.scale(frame, "y");
    const places = dodged(
      yardsticks.map(({ loss }) => y.apply(loss)),
      13,
      [marginTop, height - marginBottom],
    );
    return plotter.draw({
      ...frame,
      ariaLabel:
        "Line chart of losses by step; the numbers of the evaluations are in the table below it",
      marks: [
        plotter.plot.ruleY(yardsticks, {
          y: "loss",
          stroke: "currentColor",
          strokeOpacity: 0.5,
          strokeDasharray: "2 4",
        }),
        plotter.plot.text(yardsticks, {
          ...{ x: last, dx: 6, textAnchor: "start", fill: "var(--dim)" },
          y: (_: Yardstick, i: number) => y.invert(places[i]!),
          text: ({ name, loss }) => `${name} ${loss.toFixed(2)}`,
        }),
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
        // The training split's line is narrower, so both are visible where they coincide.
        ...([["valLoss", lossLines.val, 3], [
          "trainLoss",
          lossLines.train,
          1.4,
        ]] as const)
          .flatMap(([y, { color, dash }, strokeWidth]) => [
            plotter.plot.line(evalSteps, {
              ...{ x: "step", y, stroke: color, strokeWidth },
              strokeDasharray: dash,
            }),
            plotter.plot.dot(evalSteps, {
              ...{ x: "step", y, fill: color },
              r: (evalSteps.length > 40 ? 0.5 : 1.2) + strokeWidth * 0.6,
              title: ({ step, trainLoss, valLoss }) =>
                `step ${count(step)}: validation ${
                  valLoss.toFixed(4)
                }, training split ${trainLoss.toFixed(4)}`,
            }),
          ]),
        ...probes(plotter.plot, smoothed(batches, { count: 60 }), "loss"),
      ],
    });
  });
}

/** Returns invisible points along a curve whose tooltips show its values. */
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
  /** The legend of its lines. */
  readonly about?: Content;
  readonly picture: Markup;
}

/** Size and left margin of a small chart, in pixels. */
export const SMALL = {
  width: 340,
  height: 190,
  marginLeft: 44,
  marginRight: 18,
  marginTop: 12,
};

/** Draws learning rates, gradient norm and speed by step. */
export function trainingCharts(
  plotter: Plotter,
  { steps, train }: RunRecord,
): SmallChart[] {
  const of = (value: (event: RunRecord["steps"][number]) => number) =>
    steps.map((event) => ({ step: event.step, value: value(event) }))
      .filter(({ value }) => Number.isFinite(value));
  const clip = Number(train["gradClip"]);
  return [
    rateChart(plotter, of(({ learningRate }) => learningRate), train),
    noisyChart(plotter, of(({ gradNorm }) => gradNorm), {
      title: "Gradient norm before clipping",
      ...(clip > 0 && { limit: clip }),
    }),
    noisyChart(plotter, of(({ tokensPerSecond }) => tokensPerSecond), {
      title: "Tokens per second",
    }),
  ];
}

/** Draws the learning rate and, if there is one, Muon's own, which follows the same schedule. */
function rateChart(
  plotter: Plotter,
  points: readonly Point[],
  { optimizer, learningRate, muonLearningRate }: RunRecord["train"],
): SmallChart {
  const ratio = optimizer === "muon"
    ? Number(muonLearningRate) / Number(learningRate)
    : NaN;
  const curve = extremes(points, 100);
  const lines = [
    { name: "AdamW", ...lossLines.val, curve },
    {
      ...{ name: "Muon, for the blocks' matrices", ...lossLines.train },
      curve: curve.map(({ step, value }) => ({ step, value: ratio * value })),
    },
  ].slice(0, ratio > 0 ? 2 : 1);
  const hasTwo = lines.length > 1;
  return stepChart(plotter, points, {
    title: "Learning rate",
    ...(hasTwo && {
      about: lines.map((line) =>
        markup`<span>${lineKey(line)}${line.name}</span>`
      ),
    }),
    marks: lines.flatMap(({ name, color, dash, curve }) => [
      plotter.plot.line(curve, {
        ...{ x: "step", y: "value", stroke: color, strokeWidth: 1.8 },
        strokeDasharray: dash,
      }),
      ...probes(
        plotter.plot,
        thinned(curve, 40),
        hasTwo ? name : "learning rate",
      ),
    ]),
  });
}

/** Draws a quantity that varies from step to step, and its mean. */
function noisyChart(
  plotter: Plotter,
  points: readonly Point[],
  { title, limit = Infinity }: {
    readonly title: string;
    readonly limit?: number;
  },
): SmallChart {
  const curve = smoothed(points);
  const most = points.reduce((a, { value }) => Math.max(a, value), 0);
  // A line far above all values would flatten the curve.
  const limits = limit < 1.5 * most ? [limit] : [];
  const line = { color: "var(--train)", dash: "4 3" };
  return stepChart(plotter, points, {
    title,
    ...(limit < Infinity && {
      about: markup`<span>${limits.length > 0 && lineKey(line)}clipped above ${
        short(limit)
      }</span>`,
    }),
    marks: [
      plotter.plot.line(extremes(points, 130), {
        ...{ x: "step", y: "value", stroke: "var(--batch)" },
        ...{ strokeOpacity: 0.45, strokeWidth: 0.8 },
      }),
      plotter.plot.ruleY(limits, {
        ...{ stroke: line.color, strokeDasharray: line.dash },
      }),
      plotter.plot.line(curve, {
        ...{ x: "step", y: "value", stroke: "var(--val)", strokeWidth: 1.8 },
      }),
      ...probes(plotter.plot, thinned(curve, 40), title.toLowerCase()),
    ],
  });
}

function stepChart(
  plotter: Plotter,
  points: readonly Point[],
  { marks, ...chart }: Omit<SmallChart, "picture"> & {
    readonly marks: PictureOptions["marks"] & object;
  },
): SmallChart {
  const last = points.at(-1)?.step ?? 1;
  return {
    ...chart,
    picture: plotter.draw({
      ...SMALL,
      ariaLabel: `Line chart of the ${chart.title.toLowerCase()} by step`,
      x: { label: "step", ...countAxis(last, { ticks: 4 }) },
      y: { label: null, grid: true, zero: true, ticks: 4, tickFormat: tick },
      marks,
    }),
  };
}

/** Formats 12000 as 12k, 0.0005 as 5e-4. */
function tick(value: number): string {
  return value >= 1000
    ? `${Number((value / 1000).toPrecision(3))}k`
    : short(value);
}

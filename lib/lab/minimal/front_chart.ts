/** The chart of a search for the smallest model: all trained models, by size and loss. */

import { type Finished, finished } from "../outcome.ts";
import { type Answer, type Known, paretoFront, type Search } from "./search.ts";
import { count, short } from "../../report/numbers.ts";
import { dodged, placed, type PointLabel } from "../../report/labels.ts";
import type { Markup } from "../../report/markup.ts";
import type { Plotter } from "../../report/plotter.ts";

/** Returns the colour of a round's points. */
export const tint = (round: number): string =>
  `var(--run${[6, 5, 0][round] ?? round})`;

/** Pixels between the labels of targets. */
const LABEL_GAP = 13;

/** Draws all models by size and loss, with the targets as lines. */
export function frontChart(
  plotter: Plotter,
  { rounds, confirmed, answers, known }: Omit<Search, "cells"> & {
    readonly answers: readonly Answer[];
    readonly known: readonly Known[];
  },
  size: { readonly width: number; readonly height: number },
): Markup {
  const { plot } = plotter;
  const points = rounds.flatMap((outcomes, round) =>
    finished(outcomes).map((outcome) => ({ ...outcome, round }))
  );
  const again = finished(confirmed);
  const losses = [
    ...[...points, ...again].map(({ valLoss }) => valLoss),
    ...known.map(({ loss }) => loss),
  ];
  const sizes = [...points, ...again, ...known].map(({ parameters }) =>
    parameters
  );
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const targets = answers.flatMap(({ target }) =>
    typeof target === "number"
      ? [{ name: "loss", loss: target }]
      : target.relation === "below"
      ? [{ name: target.name, loss: target.threshold }]
      : []
  ).filter(({ loss }) => loss > low - 0.1 && loss < high + 0.1);
  const winners = answers.flatMap(({ target, winner }) => {
    const [first] = finished(winner);
    return typeof target === "number" && first !== undefined ? [first] : [];
  });
  const titleOf = ({ id, parameters, valLoss }: Finished) =>
    `${id}: ${count(parameters)} parameters, ${valLoss.toFixed(4)}`;
  const front = paretoFront(finished(rounds.at(-1) ?? []));
  const named = [
    // A narrow chart has no room beside them: the legend has their numbers.
    ...(size.width < 500 ? [] : known).map(({ name, parameters, loss }) => ({
      ...{ parameters, loss },
      text: `${name}: ${count(parameters)}`,
    })),
    ...new Set(winners).values().map(({ parameters, valLoss }) => ({
      ...{ parameters, loss: valLoss },
      text: count(parameters),
    })),
  ];
  const frame = {
    ...size,
    marginLeft: 40,
    marginRight: targets.length > 0 ? 92 : 16,
    marginTop: 20,
    marginBottom: 36,
    x: {
      type: "log" as const,
      label: "parameters",
      domain: [0.9 * Math.min(...sizes), 1.1 * Math.max(...sizes)],
      ticks: size.width < 500 ? 3 : 8,
      tickFormat: (value: number) => `${short(value / 1000)}k`,
    },
    y: {
      ...{ label: "nats per token", grid: true, nice: true },
      domain: [
        Math.min(low, ...targets.map(({ loss }) => loss)),
        Math.max(high, ...targets.map(({ loss }) => loss)),
      ],
    },
  };
  const [x, y] = [plotter.scale(frame, "x"), plotter.scale(frame, "y")];
  const bottom = size.height - frame.marginBottom;
  const at = dodged(
    targets.map(({ loss }) => y.apply(loss)),
    LABEL_GAP,
    [frame.marginTop, bottom],
  ).map((pixel) => y.invert(pixel));
  const spot = (parameters: number, loss: number) => ({
    x: x.apply(parameters),
    y: y.apply(loss),
  });
  const places = placed(
    named.map(({ parameters, loss, text }): PointLabel => ({
      ...spot(parameters, loss),
      text,
    })),
    [
      ...[...points, ...again].map(({ parameters, valLoss }) =>
        spot(parameters, valLoss)
      ),
      ...known.map(({ parameters, loss }) => spot(parameters, loss)),
    ],
    {
      left: frame.marginLeft,
      right: size.width - frame.marginRight,
      top: frame.marginTop,
      bottom,
    },
  );
  return plotter.draw({
    ...frame,
    ariaLabel:
      "Chart of validation losses by parameters; the numbers are in the table above it",
    marks: [
      plot.ruleY(targets, {
        y: "loss",
        stroke: "currentColor",
        strokeOpacity: 0.5,
        strokeDasharray: "2 4",
      }),
      plot.text(targets, {
        ...{ y: (_: unknown, i: number) => at[i]!, frameAnchor: "right" },
        ...{ textAnchor: "start", dx: 6, fill: "var(--dim)" },
        text: ({ name, loss }) => `${name} ${Number(loss.toPrecision(4))}`,
      }),
      plot.dot(points, {
        ...{ x: "parameters", y: "valLoss" },
        r: ({ round }: { readonly round: number }) => 2.5 + round / 2,
        fill: ({ round }: { readonly round: number }) => tint(round),
        fillOpacity: 0.8,
        title: titleOf,
      }),
      plot.line(front, {
        ...{ x: "parameters", y: "valLoss", stroke: tint(2) },
        strokeWidth: 1.6,
      }),
      plot.dot(again, {
        ...{ x: "parameters", y: "valLoss", r: 5 },
        stroke: "var(--train)",
        strokeWidth: 1.5,
        title: titleOf,
      }),
      plot.dot(known, {
        ...{ x: "parameters", y: "loss", r: 5, symbol: "diamond" },
        fill: "var(--run2)",
        title: ({ name, parameters, loss }: Known) =>
          `${name}: ${count(parameters)} parameters, ${loss}`,
      }),
      // Each label has a place of its own, which is a matter of marks, not of points.
      ...named.map((label, i) =>
        plot.text([label], {
          ...{ x: "parameters", y: "loss", text: "text", fill: "var(--ink)" },
          ...places[i]!,
          ...{ stroke: "var(--page)", strokeWidth: 4 },
        })
      ),
    ],
    color: { type: "identity" },
    symbol: { type: "identity" },
    r: { type: "identity" },
  });
}

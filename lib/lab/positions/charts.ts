/** The charts of the study of positions. */

import { type CellFinding, type Findings, meanOver } from "./findings.ts";
import { kinds, UNMASKED } from "./plan.ts";
import type { Estimate } from "../statistics.ts";
import { layerColor, lineChart, plain } from "../../report/charts.ts";
import { type Markup, markup } from "../../report/markup.ts";
import type { Line } from "../../report/pens.ts";
import type { Plotter } from "../../report/plotter.ts";

/** Returns the line of a kind of positions; its colour is the same in all charts. */
function lineOf(name: string): Line {
  const place = [...kinds, UNMASKED].indexOf(name as typeof kinds[number]);
  return { name, color: `var(--run${place < 0 ? 6 : place})` };
}

/** Draws losses at each position of the trained context. */
export function contextChart(plotter: Plotter, { T, cells }: Findings): Markup {
  const shown = cells.filter(({ leaks }) => !leaks);
  const points = shown.flatMap(({ name, losses }) =>
    groups(T).map(([from, to]) => ({
      name,
      x: (from + 1 + to) / 2,
      y: meanOver(losses, from, to),
    }))
  );
  return lineChart(plotter, points, {
    lines: shown.map(({ name }) => lineOf(name)),
    about:
      "Line chart of the loss by tokens seen, a line for each kind of positions; the numbers are in the table below it",
    x: { type: "log", label: "tokens seen", ...doublings(T) },
    y: "nats per token",
  });
}

/**
 * Splits positions into groups: single ones at first, then wider and wider ones, one for each
 * quarter of a doubling.
 */
function groups(T: number): [from: number, to: number][] {
  const bounds = [0];
  while (bounds.at(-1)! < T) {
    const at = bounds.at(-1)!;
    const size = Math.max(1, Math.floor(at / 5));
    // A short remainder joins the last group.
    bounds.push(T - at < 2 * size ? T : at + size);
  }
  return bounds.slice(1).map((to, i) => [bounds[i]!, to]);
}

/** Draws losses up to a multiple of the trained context. */
export function beyondChart(plotter: Plotter, { T, cells }: Findings): Markup {
  const shown = cells.filter(({ leaks }) => !leaks);
  const step = T / 8;
  const points = shown.flatMap(({ name, longLosses, losses }) => {
    const curve = longLosses ?? losses;
    return Array.from({ length: curve.length / step }, (_, i) => ({
      name,
      x: (i + 0.5) * step,
      y: meanOver(curve, i * step, (i + 1) * step),
    }));
  });
  return lineChart(plotter, points, {
    lines: shown.map(({ name }) => lineOf(name)),
    about:
      "Line chart of the loss by position up to four times the trained context, a line for each kind of positions; the numbers are in the table below it",
    x: { label: "position", ticks: 8 },
    y: "nats per token",
    limit: { at: T, text: "as trained" },
  });
}

/** Draws R² of probes by part, for the cell without positions and its controls. */
export function probeChart(plotter: Plotter, { cells }: Findings): Markup {
  const none = cells.find(({ name }) => name === "none");
  const unmasked = cells.find(({ name }) => name === UNMASKED);
  const curve = (
    name: string,
    cell: CellFinding | undefined,
    of: (part: CellFinding["probes"][number]) => Estimate,
  ) => (cell?.probes ?? []).map((part, x) => ({ name, x, y: of(part).mean }));
  const names = {
    trained: "no positions, causal mask",
    random: "the same probe, text in random order",
    untrained: "before training",
    shuffled: "shuffled positions",
    unmasked: "no mask",
  };
  const points = [
    ...curve(names.trained, none, ({ r2 }) => r2),
    ...curve(names.random, none, ({ shuffledTextR2 }) => shuffledTextR2),
    ...curve(names.untrained, none, ({ untrainedR2 }) => untrainedR2),
    ...curve(names.shuffled, none, ({ shuffledR2 }) => shuffledR2),
    ...curve(names.unmasked, unmasked, ({ r2 }) => r2),
  ];
  const parts = none?.probes.map(({ part }) => part) ?? [];
  return lineChart(plotter, points, {
    lines: [
      { name: names.trained, color: "var(--run0)" },
      { name: names.random, color: "var(--run0)", dash: "3 3" },
      { name: names.untrained, color: "var(--run1)" },
      { name: names.shuffled, color: "var(--run6)", dash: "2 4" },
      { name: names.unmasked, color: "var(--run3)" },
    ],
    about:
      "Line chart of R² of the probes by part of the model; the numbers are in the table below it",
    x: {
      label: null,
      ticks: parts.map((_, at) => at),
      tickFormat: (at: number) => parts[at]!,
    },
    y: "R²",
    marginRight: 36,
  });
}

/** Draws the probes' readings at each position. */
export function readingChart(plotter: Plotter, { T, cells }: Findings): Markup {
  const none = cells.find(({ name }) => name === "none");
  if (none === undefined) return markup``;
  const parts = none.probes.filter(({ part }) => part !== "final norm");
  const points = [
    ...parts.flatMap(({ part, means }) =>
      means.map((y, x) => ({ name: part, x: x + 1, y: y + 1 }))
    ),
    ...[1, T].map((x) => ({ name: "the truth", x, y: x })),
  ];
  return lineChart(plotter, points, {
    lines: [
      ...parts.map(({ part }, i) => ({
        name: part,
        color: layerColor(i, parts.length),
      })),
      { name: "the truth", color: "var(--dim)", dash: "2 4" },
    ],
    about:
      "Line chart of the position that probes read on average, by the true position, a line for each part of the model",
    x: { label: "position", ticks: 8 },
    y: "position read, on average",
  });
}

/** Draws the variance of the first attention's output, trained and untrained, beside 1/t. */
export function spreadChart(plotter: Plotter, { T, cells }: Findings): Markup {
  const none = cells.find(({ name }) => name === "none");
  if (none === undefined) return markup``;
  const relative = (name: string, spread: readonly number[]) =>
    spread.map((value, x) => ({ name, x: x + 1, y: value / spread[0]! }));
  const points = [
    ...relative("trained", none.spread),
    ...relative("before training", none.untrainedSpread),
    ...Array.from({ length: T }, (_, t) => ({
      name: "1/t",
      x: t + 1,
      y: 1 / (t + 1),
    })),
  ];
  return lineChart(plotter, points, {
    lines: [
      { name: "trained", color: "var(--run0)" },
      { name: "before training", color: "var(--run1)" },
      { name: "1/t", color: "var(--dim)", dash: "2 4" },
    ],
    about:
      "Line chart of the variance of what the first attention gives by position, as a share of that at the first",
    x: { type: "log", label: "tokens seen", ...doublings(T) },
    y: "variance, as a share of the first",
    shares: [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01],
  });
}

/** Draws losses by depth, with and without positions. */
export function depthChart(plotter: Plotter, { depths }: Findings): Markup {
  const bars = depths.flatMap(({ nLayer, none, rope }) => [
    { name: "none", x: nLayer, y: none.mean },
    { name: "rope", x: nLayer, y: rope.mean },
  ]);
  return lineChart(plotter, bars, {
    lines: ["none", "rope"].map(lineOf),
    about:
      "Line chart of the loss by layers, with rope and without positions; the numbers are in the table below it",
    x: { label: "layers", ticks: depths.map(({ nLayer }) => nLayer), ...plain },
    y: "nats per token",
    dots: true,
  });
}

/** Returns ticks at 1, 2, 4 … T. */
function doublings(T: number) {
  const ticks = Array.from(
    { length: 1 + Math.floor(Math.log2(T)) },
    (_, i) => 2 ** i,
  );
  return { base: 2, ticks, domain: [1, T], ...plain };
}

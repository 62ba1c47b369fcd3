/**
 * Scaling: models of several widths, each trained on several amounts of text, the law fitted to
 * their losses, and its prediction for a larger model, which is then trained too.
 */

import { modelConfig } from "../../config/model.ts";
import type { Preset } from "../../config/presets.ts";
import { wideAndNarrow } from "../../report/charts.ts";
import type { Section } from "../../report/document.ts";
import type { Markup } from "../../report/markup.ts";
import { count, digits } from "../../report/numbers.ts";
import { penOf, symbolOf } from "../../report/pens.ts";
import type { Plotter } from "../../report/plotter.ts";
import { type Finished, finished, type Outcome } from "../outcome.ts";
import {
  baseOf,
  type Cell,
  type ExperimentOptions,
  type Plan,
} from "../plan.ts";
import { type Estimate, estimate, pairedDifference } from "../statistics.ts";
import { estimateText } from "../table.ts";
import { fitPowerLaw, type PowerLaw, predictedLoss } from "./power_law.ts";

/** Widths, as shares of the preset's; the loss of the last one is predicted. */
const WIDTHS = [1 / 4, 3 / 8, 1 / 2, 3 / 4, 1, 3 / 2];

/** Amounts of training, as shares of the longest. */
const LENGTHS = [1 / 4, 1 / 2, 1];

/** Shares of the text, at the preset's width and the longest training. */
const DATA_SHARES = [1 / 4, 1 / 16];

/** Plans widths and lengths around a preset, and the next width, whose loss is predicted. */
export function scalingPlan(
  preset: Preset,
  { name, data, steps, seeds, measure }: ExperimentOptions,
): Plan {
  const { nEmbd, headSize, nHidden } = modelConfig({
    ...preset.model,
    vocabSize: 1,
  });
  const width = (share: number) => {
    const wide = Math.max(4, Math.round(share * nEmbd / 4) * 4);
    return {
      nEmbd: wide,
      nHidden: Math.round(nHidden * wide / nEmbd),
      ...heads(wide, headSize),
    };
  };
  const cell = (share: number, length: number): Cell => {
    const model = width(share);
    const maxSteps = Math.max(1, Math.round(length * steps));
    return {
      name: `nEmbd=${model.nEmbd}+maxSteps=${maxSteps}`,
      model,
      train: { maxSteps },
    };
  };
  return {
    study: `Scaling of the preset ${name}`,
    about:
      `How the loss of the preset ${name} falls with its width and the length of its training, and whether that tells what a wider one reaches.`,
    experiment: "scaling",
    data,
    tokenizer: preset.tokenizer,
    base: baseOf(preset, steps),
    seeds,
    measure,
    baseline: cell(1, 1).name,
    cells: [
      ...WIDTHS.slice(0, -1).flatMap((share) =>
        LENGTHS.map((length) => cell(share, length))
      ),
      ...DATA_SHARES.map((dataShare) => ({
        name: `dataShare=${dataShare}`,
        dataShare,
      })),
      cell(WIDTHS.at(-1)!, 1),
    ],
  };
}

/** Returns a number of heads that keeps the head size near the preset's, and even. */
function heads(
  nEmbd: number,
  size: number,
): { nHead: number; nKvHead: number } {
  let nHead = Math.max(1, Math.round(nEmbd / size));
  while (nEmbd % nHead !== 0 || nEmbd / nHead % 2 !== 0) nHead--;
  return { nHead, nKvHead: nHead };
}

/** The result of a study of scaling. */
export interface ScalingResult {
  /** The law fitted to all seeds together. */
  readonly law: PowerLaw;
  /** The outcomes that the law was fitted to, and those of the cell whose loss was predicted. */
  readonly points: readonly Finished[];
  /** The cell whose loss was predicted. */
  readonly next: string;
  /** The prediction, from a separate law for each seed. */
  readonly predicted: Estimate;
  /** The loss that the cell reached, over seeds. */
  readonly measured: Estimate;
  /** The measured loss less the predicted one, over pairs of the same seed. */
  readonly difference: Estimate;
  /** The larger of the difference's interval and the law's own error, in nats per token. */
  readonly bound: number;
  /** True if the difference is larger than the bound. */
  readonly missed: boolean;
}

/**
 * Compares a prediction with the measurement: the prediction is missed if they are farther apart
 * than both errors explain.
 */
export function verdict(
  difference: Estimate,
  { residual }: Pick<PowerLaw, "residual">,
): Pick<ScalingResult, "difference" | "bound" | "missed"> {
  const { mean, margin } = difference;
  const bound = Math.max(Number.isNaN(margin) ? 0 : margin, residual);
  return { difference, bound, missed: Math.abs(mean) > bound };
}

/**
 * Fits a law to all cells on the whole text except the widest, and compares its prediction with
 * the widest.
 *
 * @returns undefined as long as there is too little to fit or to compare
 */
export function scalingResult(
  { cells }: Plan,
  outcomes: readonly Outcome[],
): ScalingResult | undefined {
  const next = cells.at(-1)!.name;
  const onPart = new Set(
    cells.filter(({ dataShare }) => dataShare !== undefined)
      .map(({ name }) => name),
  );
  const points = finished(outcomes).filter(({ cell }) => !onPart.has(cell));
  const trained = points.filter(({ cell }) => cell === next);
  const fitted = points.filter(({ cell }) => cell !== next);
  const [place] = trained;
  if (place === undefined) return undefined;
  const seeds = [...new Set(fitted.map(({ seed }) => seed))];
  try {
    const law = fitPowerLaw(fitted);
    const predictions = new Map(seeds.map((seed) => {
      const own = fitPowerLaw(fitted.filter((each) => each.seed === seed));
      return [seed, predictedLoss(own, place)];
    }));
    const losses = new Map(trained.map(({ seed, valLoss }) => [seed, valLoss]));
    const predicted = estimate([...predictions.values()]);
    const measured = estimate([...losses.values()]);
    // Without a seed in common, prediction and measurement have separate errors.
    const difference = pairedDifference(losses, predictions) ?? {
      mean: measured.mean - predicted.mean,
      margin: Math.hypot(measured.margin || 0, predicted.margin || 0) || NaN,
      count: 0,
    };
    return {
      ...{ law, points, next, predicted, measured },
      ...verdict(difference, law),
    };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Statement that nothing was predicted, with the reason. */
const UNFITTED =
  "No law is fitted, so nothing is predicted. A fit needs losses of six cells, with three sizes and three amounts of training, that fall with both; a comparison needs the loss of the last cell.";

/** States in a sentence whether the prediction held. */
export function verdictText(
  { difference, missed, law: { residual } }: ScalingResult,
): string {
  const error = `the law's own error (${residual.toFixed(4)})`;
  return `The prediction ${
    missed ? "missed" : "held"
  }: the trained loss differs from it by ${
    estimateText(difference, { sign: true })
  }, which is ${missed ? "more" : "not more"} than ${
    Number.isNaN(difference.margin)
      ? error
      : `the larger of this interval and ${error}`
  }.`;
}

/** Describes the result in a few sentences. */
function scalingText(
  { law: { floor, size, data, residual }, next, predicted, measured }:
    ScalingResult,
): string {
  return [
    `Loss = ${floor.toFixed(3)} + ${digits(size.factor)} / N^${
      digits(size.exponent)
    } + ${digits(data.factor)} / D^${digits(data.exponent)}`,
    `for N parameters and D tokens; the root mean square error is ${
      residual.toFixed(4)
    }. For \`${next}\``,
    `it predicts ${
      estimateText(predicted)
    } over seeds, not counting its own error; after training`,
    `the loss is ${estimateText(measured)}.`,
  ].join("\n");
}

/** Returns the section; if no law is fitted, the section says so. */
export function scalingSection(scaling: ScalingResult | undefined): Section {
  const section = { id: "scaling", title: "Loss against size" };
  if (scaling === undefined) {
    return { ...section, blocks: [{ kind: "note", text: UNFITTED }] };
  }
  return {
    ...section,
    about: scalingText(scaling),
    blocks: [
      { kind: "note", text: verdictText(scaling) },
      {
        kind: "figure",
        lines: amountsOf(scaling).map((tokens, i) => ({
          ...penOf(i),
          name: `${count(tokens)} tokens`,
        })),
        note: "hollow: not part of the fit",
        draw: (plotter) => scalingChart(plotter, scaling),
      },
    ],
  };
}

/** Returns the amounts of training, in tokens. */
function amountsOf({ points }: ScalingResult): number[] {
  return [...new Set(points.map(({ tokens }) => tokens))]
    .toSorted((a, b) => a - b);
}

function scalingChart(
  plotter: Plotter,
  scaling: ScalingResult,
): Markup {
  const { points, law, next } = scaling;
  const { plot } = plotter;
  const amounts = amountsOf(scaling);
  const sizes = points.map(({ parameters }) => parameters);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const curve = amounts.flatMap((tokens) =>
    Array.from({ length: 40 }, (_, i) => {
      const parameters = least * (most / least) ** (i / 39);
      const place = { parameters, tokens };
      return { ...place, valLoss: predictedLoss(law, place) };
    })
  );
  const penOfAmount = ({ tokens }: { readonly tokens: number }) =>
    penOf(amounts.indexOf(tokens));
  const tint = (point: { readonly tokens: number }) => penOfAmount(point).color;
  return wideAndNarrow((size) =>
    plotter.draw({
      ...size,
      marginLeft: 40,
      marginRight: 16,
      ariaLabel:
        "Chart of validation losses by parameters, a curve for each amount of training; the numbers are in the table below it",
      x: {
        type: "log",
        label: "parameters",
        ticks: size.width < 500 ? 3 : 6,
        tickFormat: (value: number) => `${Math.round(value / 1000)}k`,
      },
      y: { label: "nats per token", grid: true, nice: true },
      marks: [
        ...amounts.map((tokens) =>
          plot.line(curve.filter((point) => point.tokens === tokens), {
            ...{ x: "parameters", y: "valLoss", strokeWidth: 1.6 },
            stroke: tint({ tokens }),
            strokeDasharray: penOfAmount({ tokens }).dash,
          })
        ),
        plot.dot(points, {
          ...{ x: "parameters", y: "valLoss", r: 4, stroke: tint },
          symbol: (point: Finished) => symbolOf(penOfAmount(point)),
          fill: (point: Finished) =>
            point.cell === next ? "var(--page)" : tint(point),
          title: ({ id, valLoss }: Finished) => `${id}: ${valLoss.toFixed(4)}`,
        }),
      ],
      color: { type: "identity" },
      symbol: { type: "identity" },
    })
  );
}

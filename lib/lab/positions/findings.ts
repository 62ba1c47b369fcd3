/** Findings of the study of positions: means over the trials' seeds, with intervals. */

import { sawFuture } from "../outcome.ts";
import type { Plan } from "../plan.ts";
import { type Estimate, estimate, pairedDifference } from "../statistics.ts";
import type { PartResult, PositionOutcome } from "./measure.ts";
import {
  type Compared,
  depths,
  kinds,
  LONGER,
  longer,
  UNMASKED,
  withLayers,
} from "./plan.ts";

/** Scores of probes that read positions at one part of a cell's models. */
export interface PartFinding {
  readonly part: string;
  readonly r2: Estimate;
  /** Mean error, in tokens. */
  readonly error: Estimate;
  readonly shuffledR2: Estimate;
  readonly untrainedR2: Estimate;
  readonly shuffledTextR2: Estimate;
  /** Range of readings on constant text, in tokens. */
  readonly constantTextRange: Estimate;
  /** Means of the readings at each position (T), over seeds. */
  readonly means: readonly number[];
  readonly deviations: readonly number[];
}

/** The positions from `from` to before `to`, with the loss at them. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly loss: Estimate;
  /** The loss less that of the second half of the trained context, in the same windows. */
  readonly change: Estimate;
}

/** Findings on one cell. */
export interface CellFinding {
  readonly name: string;
  readonly seeds: number;
  readonly parameters: number;
  /** Tokens seen in training. */
  readonly tokens: number;
  readonly valLoss: Estimate;
  /** True if the cell's mask lets tokens see the tokens they are to predict: then the loss means nothing. */
  readonly leaks: boolean;
  /**
   * Reduction of the loss relative to no positions, over pairs of the same seed; undefined for
   * `none` itself, without a seed in common, and if one of the two cells leaks.
   */
  readonly worth: Estimate | undefined;
  readonly parts: readonly PartFinding[];
  /** Mean losses at each position (T), over seeds. */
  readonly losses: readonly number[];
  /** The same losses up to `LONGER` times T; undefined if the context cannot be made longer. */
  readonly longLosses: readonly number[] | undefined;
  /** Stretches beyond the trained context, each as long as it. */
  readonly beyond: readonly Stretch[];
  /** Reason why there are no stretches beyond the trained context. */
  readonly refused: string | undefined;
  /** Variance of the first attention's output at each position (T). */
  readonly spread: readonly number[];
  readonly untrainedSpread: readonly number[];
  readonly orderChange: Estimate;
}

/** Worth of positions to models of one depth, after one length of training. */
export interface WorthFinding {
  readonly nLayer: number;
  /** Tokens seen in training. */
  readonly tokens: number;
  readonly none: Estimate;
  readonly rope: Estimate;
  readonly worth: Estimate;
}

/** All findings of the study. */
export interface Findings {
  /** Length of the trained context. */
  readonly T: number;
  /** The cells of each kind of positions and the cell without a mask, if they have trials. */
  readonly cells: readonly CellFinding[];
  /** Findings by depth, with the same training. */
  readonly depths: readonly WorthFinding[];
  /** Findings by length of training, at the same depth. */
  readonly trainings: readonly WorthFinding[];
}

/** An outcome with its measures. */
type Measured =
  & PositionOutcome
  & Required<Pick<PositionOutcome, "positions">>
  & { readonly valLoss: number };

/** Sums up outcomes. A trial that diverged is in no mean; the table of trials lists it. */
export function positionFindings(
  plan: Plan,
  outcomes: readonly PositionOutcome[],
): Findings {
  const measured = outcomes.filter((outcome): outcome is Measured =>
    outcome.positions !== undefined && outcome.valLoss !== null
  );
  const byCell = Map.groupBy(measured, ({ cell }) => cell);
  const losses = (cell: string) =>
    new Map(
      (byCell.get(cell) ?? []).map(({ seed, valLoss }) => [seed, valLoss]),
    );
  const leaks = (cell: string) => (byCell.get(cell) ?? []).some(sawFuture);
  const worth = (cell: string, none: string) =>
    leaks(cell) || leaks(none)
      ? undefined
      : pairedDifference(losses(none), losses(cell));
  const compare = (nLayer: number, name: (cell: Compared) => string) => {
    const [none, rope] = [name("none"), name("rope")];
    const [first] = byCell.get(none) ?? [];
    const lower = worth(rope, none);
    if (first === undefined || lower === undefined) return [];
    return [{
      nLayer,
      tokens: first.tokens,
      none: estimate([...losses(none).values()]),
      rope: estimate([...losses(rope).values()]),
      worth: lower,
    }];
  };
  const T = plan.base.model!.blockSize!;
  return {
    T,
    cells: [...kinds, UNMASKED].flatMap((name) => {
      const trials = byCell.get(name);
      if (trials === undefined) return [];
      return cellFinding(trials, {
        T,
        worth: name === "none" ? undefined : worth(name, "none"),
      });
    }),
    depths: depths.flatMap((nLayer) =>
      compare(nLayer, (cell) => withLayers(cell, nLayer))
    ),
    trainings: [(cell: Compared) => cell, longer].flatMap((name) =>
      compare(depths.at(-1)!, name)
    ),
  };
}

function cellFinding(
  trials: readonly Measured[],
  { T, worth }: { readonly T: number; readonly worth: Estimate | undefined },
): CellFinding {
  const over = (of: (trial: Measured) => number) => estimate(trials.map(of));
  const means = (of: (trial: Measured) => readonly number[]) =>
    meanCurve(trials.map(of));
  const [first] = trials as [Measured];
  const long = trials.flatMap(({ positions: { longLosses } }) =>
    longLosses === null ? [] : [longLosses]
  );
  return {
    name: first.cell,
    seeds: trials.length,
    parameters: first.parameters,
    tokens: first.tokens,
    valLoss: over(({ valLoss }) => valLoss),
    leaks: trials.some(sawFuture),
    worth,
    parts: first.positions.probes.map(({ part }, i) =>
      partFinding(part, trials.map(({ positions }) => positions.probes[i]!))
    ),
    losses: means(({ positions }) => positions.losses),
    longLosses: long.length === 0 ? undefined : meanCurve(long),
    beyond: long.length === 0 ? [] : stretches(long, T),
    refused: first.positions.refused,
    spread: means(({ positions }) => positions.spread),
    untrainedSpread: means(({ positions }) => positions.untrainedSpread),
    orderChange: over(({ positions }) => positions.orderChange),
  };
}

function partFinding(
  part: string,
  results: readonly PartResult[],
): PartFinding {
  const over = (of: (result: PartResult) => number) =>
    estimate(results.map(of));
  return {
    part,
    r2: over(({ r2 }) => r2),
    error: over(({ error }) => error),
    shuffledR2: over(({ shuffledR2 }) => shuffledR2),
    untrainedR2: over(({ untrainedR2 }) => untrainedR2),
    shuffledTextR2: over(({ shuffledTextR2 }) => shuffledTextR2),
    constantTextRange: over(({ constantTextRange }) => constantTextRange),
    means: meanCurve(results.map(({ means }) => means)),
    deviations: meanCurve(results.map(({ deviations }) => deviations)),
  };
}

function stretches(
  losses: readonly (readonly number[])[],
  T: number,
): Stretch[] {
  return Array.from({ length: LONGER - 1 }, (_, i) => {
    const [from, to] = [(i + 1) * T, (i + 2) * T];
    const loss = losses.map((curve) => meanOver(curve, from, to));
    const within = losses.map((curve) => meanOver(curve, T / 2, T));
    return {
      from,
      to,
      loss: estimate(loss),
      change: estimate(loss.map((value, seed) => value - within[seed]!)),
    };
  });
}

/** Returns the mean of a curve's values from one index to before another. */
export function meanOver(
  curve: readonly number[],
  from: number,
  to: number,
): number {
  const part = curve.slice(from, to);
  return part.reduce((sum, value) => sum + value, 0) / part.length;
}

function meanCurve(curves: readonly (readonly number[])[]): number[] {
  return curves[0]!.map((_, at) =>
    curves.reduce((sum, curve) => sum + curve[at]!, 0) / curves.length
  );
}

/** Returns the part at which a cell's positions are read best. */
export function bestPart({ parts }: CellFinding): PartFinding {
  return parts.reduce((a, b) => b.r2.mean > a.r2.mean ? b : a);
}

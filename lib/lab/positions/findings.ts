/** Findings of the study of positions: means over the trials' seeds, with intervals. */

import { sawFuture } from "../outcome.ts";
import type { Plan } from "../plan.ts";
import {
  type Estimate,
  estimate,
  meanOf,
  pairedDifference,
} from "../statistics.ts";
import type {
  PartResult,
  PositionMeasures,
  PositionOutcome,
} from "./measure.ts";
import {
  type Compared,
  depths,
  kinds,
  LONGER,
  longer,
  UNMASKED,
  withLayers,
} from "./plan.ts";

/** Measurements averaged over seeds: a number is an estimate, a curve has the means of its values. */
type Averaged<Value> = Value extends number ? Estimate
  : Value extends readonly number[] ? readonly number[]
  : Value extends object
    ? { readonly [Key in keyof Value]: Averaged<Value[Key]> }
  : Value;

/** The loss at positions beyond the trained context, as many as that has. */
export interface LongLoss {
  readonly loss: Estimate;
  /** The loss less that of the second half of the trained context, in the same windows. */
  readonly change: Estimate;
}

/** Findings on one cell. */
export interface CellFinding extends Averaged<PositionMeasures> {
  readonly name: string;
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
  /** Losses beyond the trained context; empty if the context cannot be made longer. */
  readonly beyond: readonly LongLoss[];
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
      const [{ parameters, tokens }] = trials as [Measured];
      return {
        ...averaged(trials.map(({ positions }) => positions)),
        ...{ name, parameters, tokens },
        valLoss: estimate([...losses(name).values()]),
        leaks: leaks(name),
        worth: name === "none" ? undefined : worth(name, "none"),
        beyond: lossesBeyond(
          trials.flatMap(({ positions: { longLosses } }) =>
            longLosses === null ? [] : [longLosses]
          ),
          T,
        ),
      };
    }),
    depths: depths.flatMap((nLayer) =>
      compare(nLayer, (cell) => withLayers(cell, nLayer))
    ),
    trainings: [(cell: Compared) => cell, longer].flatMap((name) =>
      compare(depths.at(-1)!, name)
    ),
  };
}

/** Averages measurements; of texts the first is taken. */
function averaged<Value>(values: readonly Value[]): Averaged<Value> {
  const [first] = values;
  const column = (key: string | number) =>
    values.map((value) => value[key as keyof Value]);
  if (typeof first === "number") {
    return estimate(values as readonly number[]) as Averaged<Value>;
  }
  if (typeof first !== "object" || first === null) {
    return first as Averaged<Value>;
  }
  const isCurve = Array.isArray(first) && typeof first[0] === "number";
  const entries = Object.keys(first).map((key) => [
    key,
    isCurve ? meanOf(column(key) as number[]) : averaged(column(key)),
  ]);
  return (Array.isArray(first)
    ? entries.map(([, value]) => value)
    : Object.fromEntries(entries)) as Averaged<Value>;
}

function lossesBeyond(
  losses: readonly (readonly number[])[],
  T: number,
): LongLoss[] {
  if (losses.length === 0) return [];
  return Array.from({ length: LONGER - 1 }, (_, i) => {
    const loss = losses.map((curve) =>
      meanOver(curve, (i + 1) * T, (i + 2) * T)
    );
    const within = losses.map((curve) => meanOver(curve, T / 2, T));
    return {
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
  return meanOf(curve.slice(from, to));
}

/** Returns the part at which a cell's positions are read best. */
export function bestPart({ probes }: CellFinding): Averaged<PartResult> {
  return probes.reduce((a, b) => b.r2.mean > a.r2.mean ? b : a);
}

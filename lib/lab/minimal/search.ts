/**
 * A search for the smallest model that reaches a target, by successive halving (Jamieson and
 * Talwalkar 2016, arXiv 1502.07943). Many small configurations are trained briefly; those that no
 * other one beats in both size and loss are trained for longer in the next round. The last round
 * is trained in full, and the winner again with seeds that had no part in the choice.
 */

import { modelConfig } from "../../config/model.ts";
import { trainConfig } from "../../config/train.ts";
import { parameterLayout } from "../../model/plans.ts";
import type { Preset } from "../../config/presets.ts";
import { CounterRandom, Purpose } from "../../../kernels/random.ts";
import {
  type Finished,
  finished,
  type Outcome,
  sawFuture,
} from "../outcome.ts";
import { baseOf, type Cell, type Plan } from "../plan.ts";
import { countIntervals, estimate, missesText } from "../statistics.ts";
import { futureText } from "../table.ts";
import { type Rung, rungValue } from "../works.ts";

/** A target of the search: a validation loss in nats per token, or a rung of the ladder. */
export type Target = number | Rung;

/** Options of a search. */
export interface SearchOptions {
  /** The recipe whose sizes are varied, and its name. */
  readonly preset: Preset;
  readonly name: string;
  /** The dataset, by its name or as a file, and the vocabulary size of its tokenizer. */
  readonly data: string;
  readonly vocabSize: number;
  /** Configurations in the first round. */
  readonly arms: number;
  /** Steps of the last round. */
  readonly steps: number;
  /** The range of parameter counts. */
  readonly least: number;
  readonly most: number;
}

/**
 * Number of rounds, and the factor by which each round has fewer configurations and longer
 * training than the one before.
 */
export const ROUNDS = 3;
const SHRINK = 2;

/** The seed that draws the configurations, and the seed of all rounds. */
const SEED = 1;

/** Seeds of the confirmation; the search uses none of them. */
export const FRESH_SEEDS: readonly number[] = [11, 12, 13];

/** Most configurations drawn for each one wanted. */
const DRAWS = 200;

/** The values that configurations are drawn from. */
const space = {
  nLayer: [1, 2, 3, 4],
  nEmbd: [8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128],
  headSize: [8, 16, 32],
  /** Hidden sizes of the MLP, as multiples of the model's width. */
  hidden: [1, 2, 3, 4],
  tiedHead: [true, false],
  blockSize: [32, 64, 128],
  /** Learning rates, as multiples of the preset's. */
  learningRate: [1, 2],
} as const;

/**
 * Returns the configurations of the first round: one in each of `arms` ranges of parameter counts,
 * which are equally wide on a logarithmic scale. A range without a configuration stays empty.
 */
export function candidates(options: SearchOptions): Cell[] {
  const { arms, least, most, preset, vocabSize } = options;
  const random = new CounterRandom(SEED, Purpose.search);
  const found = new Map<number, Cell>();
  for (let draw = 0; draw < DRAWS * arms && found.size < arms; draw++) {
    const cell = drawn(
      preset,
      (count, field) => random.below(count, draw, field),
    );
    if (cell === undefined) continue;
    const config = modelConfig({ ...preset.model, ...cell.model, vocabSize });
    const { count: parameters } = parameterLayout(config);
    const range = Math.floor(
      arms * Math.log(parameters / least) / Math.log(most / least),
    );
    if (range < 0 || range >= arms || found.has(range)) continue;
    found.set(range, cell);
  }
  return [...found].toSorted(([a], [b]) => a - b).map(([, cell]) => cell);
}

/** Draws a configuration from the space; undefined if its heads do not divide its width. */
function drawn(
  preset: Preset,
  below: (count: number, field: number) => number,
): Cell | undefined {
  const base = modelConfig({ ...preset.model, vocabSize: 1 });
  const train = trainConfig(preset.train);
  const pick = <Value>(values: readonly Value[], field: number) =>
    values[below(values.length, field)]!;
  const nLayer = pick(space.nLayer, 0);
  const nEmbd = pick(space.nEmbd, 1);
  const headSize = pick(space.headSize, 2);
  const hidden = pick(space.hidden, 3);
  const tiedHead = pick(space.tiedHead, 4);
  const blockSize = pick(space.blockSize, 5);
  const faster = pick(space.learningRate, 6);
  if (nEmbd % headSize !== 0) return undefined;
  const nHead = nEmbd / headSize;
  const tokens = train.batchSize * base.blockSize;
  return {
    name: [
      `L${nLayer}`,
      `C${nEmbd}`,
      `H${nHead}`,
      `M${hidden * nEmbd}`,
      `T${blockSize}`,
      ...(tiedHead ? ["tied"] : []),
      ...(faster === 1 ? [] : [`lr${faster}`]),
    ].join("-"),
    model: {
      nLayer,
      nEmbd,
      nHead,
      nKvHead: nHead,
      nHidden: hidden * nEmbd,
      tiedHead,
      headBias: base.headBias,
      blockSize,
    },
    train: {
      batchSize: Math.max(1, Math.round(tokens / blockSize)),
      learningRate: faster * train.learningRate,
      muonLearningRate: faster * train.muonLearningRate,
    },
  };
}

/**
 * Returns the Pareto front, from the cheapest outcome to the dearest. No other outcome has a lower
 * loss at the same cost or less than one on the front; of equal outcomes the first is kept.
 *
 * @param cost the quantity to keep small; parameters if left out
 */
export function paretoFront(
  outcomes: readonly Finished[],
  cost: (outcome: Finished) => number = ({ parameters }) => parameters,
): Finished[] {
  const sorted = outcomes.toSorted((a, b) =>
    cost(a) - cost(b) || a.valLoss - b.valLoss
  );
  let lowest = Infinity;
  return sorted.filter(({ valLoss }) => {
    const better = valLoss < lowest;
    if (better) lowest = valLoss;
    return better;
  });
}

/**
 * Returns the requested number of outcomes, front by front: after a front is removed, the
 * remaining outcomes form another. Of a front with too many outcomes, evenly spread ones are
 * taken.
 */
export function survivors(
  outcomes: readonly Finished[],
  count: number,
): Finished[] {
  const kept: Finished[] = [];
  let rest = outcomes;
  while (kept.length < count && rest.length > 0) {
    const front = paretoFront(rest);
    rest = rest.filter((outcome) => !front.includes(outcome));
    const room = count - kept.length;
    kept.push(...(front.length <= room ? front : spread(front, room)));
  }
  return kept.toSorted((a, b) => a.parameters - b.parameters);
}

function spread<Item>(items: readonly Item[], count: number): Item[] {
  if (count === 1) return [items[Math.floor(items.length / 2)]!];
  const step = (items.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, i) => items[Math.round(i * step)]!);
}

/** Returns the number of configurations that a round keeps from the one before. */
export function armsOf(round: number, arms: number): number {
  return Math.max(1, Math.round(arms / SHRINK ** (round - 1)));
}

/**
 * Returns the plan of a round.
 *
 * @param round from 1 to {@linkcode ROUNDS}; the last one trains in full and measures the models' text
 */
export function roundPlan(
  options: SearchOptions,
  { round, cells }: { readonly round: number; readonly cells: readonly Cell[] },
): Plan {
  const steps = Math.max(
    1,
    Math.round(options.steps / SHRINK ** (ROUNDS - round)),
  );
  return {
    ...planOf(options, cells, steps),
    study: `The smallest ${options.name}, round ${round} of ${ROUNDS}`,
    about:
      `${cells.length} configurations between ${options.least} and ${options.most} parameters, for ${steps} steps each.`,
    seeds: [SEED],
    measure: round === ROUNDS ? "works" : "loss",
  };
}

/** Returns the plan that trains winners again, with fresh seeds. */
export function confirmationPlan(
  options: SearchOptions,
  cells: readonly Cell[],
): Plan {
  return {
    ...planOf(options, cells, options.steps),
    study: `The smallest ${options.name}, confirmed`,
    about:
      `The smallest configurations that reached a target, for ${options.steps} steps with seeds that had no part in the search.`,
    seeds: FRESH_SEEDS,
    measure: "works",
  };
}

function planOf(
  { preset, data }: SearchOptions,
  cells: readonly Cell[],
  maxSteps: number,
): Omit<Plan, "study" | "about" | "seeds" | "measure"> {
  return {
    experiment: "minimal",
    data,
    tokenizer: preset.tokenizer,
    base: baseOf(preset, maxSteps),
    cells,
  };
}

/**
 * Returns whether an outcome reaches a target; undefined if the target was not measured. A model
 * that sees the future reaches none.
 */
export function reachesTarget(
  target: Target,
  outcome: Outcome,
): boolean | undefined {
  const [done] = finished([outcome]);
  if (done === undefined) return false;
  return typeof target === "number"
    ? done.valLoss <= target
    : rungValue(target, done)?.reached;
}

/** Returns the outcomes of the `count` smallest configurations that reach a target, smallest first. */
export function smallest(
  target: Target,
  outcomes: readonly Outcome[],
  count: number,
): Finished[] {
  return finished(outcomes)
    .filter((outcome) => reachesTarget(target, outcome) === true)
    .toSorted((a, b) => a.parameters - b.parameters)
    .slice(0, count);
}

/** The configurations and outcomes of a search. */
export interface Search {
  /** The configurations of the last round. */
  readonly cells: readonly Cell[];
  /** The outcomes of each round. */
  readonly rounds: readonly (readonly Outcome[])[];
  /** The outcomes of the winners with fresh seeds. */
  readonly confirmed: readonly Outcome[];
}

/** Combines searches of one preset and number of steps; a trial that is in several of them counts once. */
export function together(searches: readonly Search[]): Search {
  const [first] = searches;
  return {
    cells: distinct(searches.flatMap(({ cells }) => cells), "name"),
    rounds: first!.rounds.map((_, round) =>
      distinct(searches.flatMap(({ rounds }) => rounds[round] ?? []), "id")
    ),
    confirmed: distinct(searches.flatMap(({ confirmed }) => confirmed), "id"),
  };
}

function distinct<Key extends string, Thing extends Record<Key, string>>(
  things: readonly Thing[],
  key: Key,
): Thing[] {
  return [...new Map(things.map((thing) => [thing[key], thing])).values()];
}

/** A result of another program on the same text. */
export interface Known {
  readonly name: string;
  readonly parameters: number;
  /** Loss on the validation split, in nats per token. */
  readonly loss: number;
}

/** The result of a search for one target. */
export interface Answer {
  readonly target: Target;
  /** All the winner's outcomes with fresh seeds; empty if no configuration reached the target every time. */
  readonly winner: readonly Outcome[];
  /** The smallest outcome of the last round that reached the target, confirmed or not. */
  readonly found: Outcome | undefined;
  /**
   * The outcome of any round that reached the target with the fewest floating point operations of
   * training, even if only once.
   */
  readonly cheapest: Outcome | undefined;
}

/** Finds the smallest configuration that reaches a target with each fresh seed. */
export function answerTo(
  target: Target,
  { rounds, confirmed }: Omit<Search, "cells">,
): Answer {
  const [found] = smallest(target, rounds.at(-1) ?? [], 1);
  const [cheapest] = finished([...rounds, confirmed].flat())
    .filter((outcome) => reachesTarget(target, outcome) === true)
    .toSorted((a, b) => (a.flops ?? Infinity) - (b.flops ?? Infinity));
  const cells = Map.groupBy(confirmed, ({ cell }) => cell);
  const winners = [...cells.values()].filter((outcomes) =>
    outcomes.length === FRESH_SEEDS.length &&
    outcomes.every((outcome) => reachesTarget(target, outcome) === true)
  );
  const [winner = []] = winners.toSorted((a, b) =>
    a[0]!.parameters - b[0]!.parameters
  );
  return { target, winner, found, cheapest };
}

/** Returns the notes on a search's tables: which losses mean nothing, and how many intervals miss by chance. */
export function searchNotes(
  { rounds, confirmed, answers }: Omit<Search, "cells"> & {
    readonly answers: readonly Answer[];
  },
): string[] {
  const leaking = [...rounds, confirmed].flat().filter(sawFuture);
  // One model may be the answer to several targets.
  const winners = new Map(answers.map(({ winner }) => {
    const losses = finished(winner).map(({ valLoss }) => valLoss);
    return [winner[0]?.cell, estimate(losses)];
  }));
  return [
    futureText([...new Set(leaking.map(({ cell }) => cell))]),
    missesText(countIntervals([...winners.values()])),
  ].filter((note) => note !== "");
}

/**
 * A study as it is planned: plain data, written to a file before anything runs, so that
 * it can be read, edited, shared out and run again.
 *
 * A plan has a base and cells; a cell changes some of the base's fields. A cell with a seed is
 * a trial. Trials with the same seed see the same batches, so that cells compare in pairs.
 */

import { type ModelConfig, modelConfig } from "../config/model.ts";
import { type TrainConfig, trainConfig } from "../config/train.ts";
import type { TokenizerKind } from "../text/tokenizer.ts";
import { reasonGiven, refusal } from "../refusal.ts";

/** Fields that differ from what they are without. */
export interface Changes {
  /** Of the architecture. The vocabulary is that of the tokenizer. */
  readonly model?: Partial<Omit<ModelConfig, "vocabSize">>;
  /** Of the training, but for the seed. */
  readonly train?: Partial<Omit<TrainConfig, "seed">>;
  /** The share of the training split that is trained on, in (0, 1]; 1 if left out. */
  readonly dataShare?: number;
}

/** One configuration of a study. */
export interface Cell extends Changes {
  /** Letters, digits and `.+=_-`, as it also names files. */
  readonly name: string;
  /** In place of the plan's. */
  readonly seeds?: readonly number[];
}

/**
 * What is measured of a trained model beside its loss: nothing, what it writes to a prompt,
 * all that docs/works.md asks of its text, or what it knows of positions (`positions/measure.ts`).
 */
export type Measure = "loss" | "sample" | "works" | "positions";

/** What a study asks, which decides what its report shows beside the table. */
export type Experiment = "ablate" | "scaling" | "minimal";

/** A study. */
export interface Plan {
  /** What it is called. */
  readonly study: string;
  /** What it is about, in a sentence or two. */
  readonly about: string;
  /** Which of the experiments it is; a table alone if left out. */
  readonly experiment?: Experiment;
  /** The dataset, by its name or as a file. */
  readonly data: string;
  /** What a token is. */
  readonly tokenizer: TokenizerKind;
  /** What all cells start from. */
  readonly base: Changes;
  /** Each seeds a trial of each cell. */
  readonly seeds: readonly number[];
  /** What is measured beside the loss; `loss` if left out. */
  readonly measure?: Measure;
  /** The cell that the others are compared with; the first if left out. */
  readonly baseline?: string;
  /** The configurations. */
  readonly cells: readonly Cell[];
}

/** All that decides what comes of a trial, but for the program and the device. */
export interface Setting extends Pick<Plan, "data" | "tokenizer"> {
  readonly measure: Measure;
  readonly model: Changes["model"] & object;
  /** With the seed. */
  readonly train: Partial<TrainConfig>;
  readonly dataShare: number;
}

/** One run of a study. */
export interface Trial {
  /** The cell's name and the seed: unique in a plan. */
  readonly id: string;
  readonly cell: string;
  readonly seed: number;
  readonly setting: Setting;
}

const tokenizers: readonly TokenizerKind[] = ["ascii", "chars", "bytes"];
const measures: readonly Measure[] = ["loss", "sample", "works", "positions"];
const experiments: readonly Experiment[] = ["ablate", "scaling", "minimal"];
const cellName = /^[A-Za-z0-9][A-Za-z0-9.+=_-]{0,79}$/;

/**
 * Checks a plan, and that each of its trials can be made: before the first one runs.
 *
 * @param value what a plan's file holds, parsed
 * @throws {RangeError} naming the field or the cell and what is wrong with it
 */
export function checkPlan(value: unknown): Plan {
  const that = (condition: boolean, reason: string) => {
    if (!condition) throw refusal(RangeError, "use this plan", reason);
  };
  const isRecord = (item: unknown): item is Record<string, unknown> =>
    typeof item === "object" && item !== null && !Array.isArray(item);
  const onlyFields = (item: object, known: readonly string[], of: string) => {
    for (const key of Object.keys(item)) {
      that(known.includes(key), `${key} is not a field of ${of}`);
    }
  };
  const checkSeeds = (seeds: unknown, of: string) =>
    that(
      Array.isArray(seeds) && seeds.length > 0 &&
        new Set(seeds).size === seeds.length,
      `the seeds of ${of} are not a list of different numbers`,
    );
  that(isRecord(value), "it is not an object");
  const plan = value as unknown as Plan;
  onlyFields(plan, planFields, "a plan");
  for (const field of ["study", "about", "data"] as const) {
    that(typeof plan[field] === "string", `${field} is not a text`);
  }
  that(
    tokenizers.includes(plan.tokenizer),
    `tokenizer ("${plan.tokenizer}") is none of ${tokenizers.join(", ")}`,
  );
  that(
    plan.measure === undefined || measures.includes(plan.measure),
    `measure ("${plan.measure}") is none of ${measures.join(", ")}`,
  );
  that(
    plan.experiment === undefined || experiments.includes(plan.experiment),
    `experiment ("${plan.experiment}") is none of ${experiments.join(", ")}`,
  );
  that(isRecord(plan.base), "base is not an object");
  onlyFields(plan.base, changeFields, "base");
  checkSeeds(plan.seeds, "the plan");
  that(
    Array.isArray(plan.cells) && plan.cells.length > 0,
    "it has no cells",
  );
  const names = new Set<string>();
  for (const cell of plan.cells) {
    that(isRecord(cell), "a cell is not an object");
    const { name } = cell;
    that(
      typeof name === "string" && cellName.test(name),
      `the cell name ${JSON.stringify(name)} is not letters, digits and .+=_-`,
    );
    that(!names.has(name), `two cells are called ${name}`);
    names.add(name);
    onlyFields(cell, ["name", "seeds", ...changeFields], `cell ${name}`);
    if (cell.seeds !== undefined) checkSeeds(cell.seeds, `cell ${name}`);
  }
  const { baseline } = plan;
  that(
    baseline === undefined || names.has(baseline),
    `the baseline ${baseline} is no cell`,
  );
  for (const trial of trialsOf(plan)) checkTrial(trial);
  return plan;
}

const changeFields = ["model", "train", "dataShare"];
const planFields = [
  "study",
  "about",
  "experiment",
  "data",
  "tokenizer",
  "base",
  "seeds",
  "measure",
  "baseline",
  "cells",
];

function checkTrial({ id, setting }: Trial): void {
  const { model, train, dataShare } = setting;
  try {
    modelConfig({ ...model, vocabSize: 1 });
    trainConfig(train);
    if (!(dataShare > 0 && dataShare <= 1)) {
      throw new RangeError(
        `dataShare (${dataShare}) is not a number above 0, at most 1`,
      );
    }
  } catch (error) {
    const reason = `trial ${id}: ${reasonGiven(error)}`;
    throw refusal(RangeError, "use this plan", reason);
  }
}

/** The trials of a plan, in order: seed after seed, so that all cells have their first early. */
export function trialsOf(
  { data, tokenizer, measure = "loss", base, cells, seeds }: Plan,
): Trial[] {
  const trials = cells.flatMap((cell, place) =>
    (cell.seeds ?? seeds).map((seed, round) => ({
      place,
      round,
      trial: {
        id: `${cell.name}.s${seed}`,
        cell: cell.name,
        seed,
        setting: {
          ...{ data, tokenizer, measure },
          model: { ...base.model, ...cell.model },
          train: { ...base.train, ...cell.train, seed },
          dataShare: cell.dataShare ?? base.dataShare ?? 1,
        },
      },
    }))
  );
  return trials.toSorted((a, b) => a.round - b.round || a.place - b.place)
    .map(({ trial }) => trial);
}

/** The highest `maskValue` that hides the future as long as nothing else was measured: exp(-1e4) is 0 in 32 bits. */
const HIDING = -1e4;

/**
 * Returns whether a model's mask lets tokens see what they are to predict: then its loss means nothing.
 *
 * @param model fields of a model; what is left out has its default
 * @param causal what was measured: whether no token changed a bit of the logits before it. It
 * decides about a finite mask, which hides the future as long as scores stay far above it; where
 * nothing was measured, `maskValue` does
 */
export function seesFuture(
  { attention = true, mask = "causal", maskValue = HIDING }: {
    readonly attention?: unknown;
    readonly mask?: unknown;
    readonly maskValue?: unknown;
  },
  causal?: boolean,
): boolean {
  if (causal === false) return true;
  if (attention === false || mask === "causal") return false;
  return mask !== "finite" || (causal ?? Number(maskValue) <= HIDING) === false;
}

/** The name of the cell that the others are compared with. */
export function baselineOf({ baseline, cells }: Plan): string {
  return baseline ?? cells[0]!.name;
}

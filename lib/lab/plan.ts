/**
 * The plan of a study: plain data, written to a file before anything runs, so that it can be read,
 * edited, shared and run again.
 *
 * A plan has a base and cells; a cell changes some of the base's fields. A cell with a seed is a
 * trial. Trials with the same seed see the same batches, so that cells can be compared in pairs.
 */

import { type ModelConfig, modelConfig } from "../config/model.ts";
import { type TrainConfig, trainConfig } from "../config/train.ts";
import type { Preset } from "../config/presets.ts";
import { bpeMistake, isBpe } from "../text/made_tokenizer.ts";
import type { TokenizerKind } from "../text/tokenizer.ts";
import { reasonGiven, refusal } from "../refusal.ts";

/** Fields that differ from the base or, in a base, from the defaults. */
export interface Changes {
  /** Fields of the architecture. The vocabulary is the tokenizer's. */
  readonly model?: Partial<Omit<ModelConfig, "vocabSize">> | undefined;
  /** Fields of the training, except the seed. */
  readonly train?: Partial<Omit<TrainConfig, "seed">> | undefined;
  /** The share of the training split that is trained on, in (0, 1]; 1 if left out. */
  readonly dataShare?: number | undefined;
}

/** A tokenizer that every machine has: made for the text, byte pairs trained on it (`bpe:N`), or GPT-2's. */
export type PlanTokenizer = TokenizerKind | `bpe:${string}` | "gpt2";

/** One configuration of a study. */
export interface Cell extends Changes {
  /** Letters, digits and `.+=_-`, as it also names files. */
  readonly name: string;
  /** The tokenizer, in place of the plan's. Losses of cells with different ones are compared in bits per character. */
  readonly tokenizer?: PlanTokenizer | undefined;
  /** Seeds of this cell, in place of the plan's. */
  readonly seeds?: readonly number[] | undefined;
}

/**
 * The measurement of a trained model besides its loss: none, a sample of its text, all scores of
 * docs/works.md, or its knowledge of positions (`positions/measure.ts`).
 */
export type Measure = "loss" | "sample" | "works" | "positions";

/** The question of a study; it decides which parts the report has besides the table. */
export type Experiment = "ablate" | "scaling" | "minimal";

/** A study. */
export interface Plan {
  /** The study's name. */
  readonly study: string;
  /** The study's subject, in a sentence or two. */
  readonly about: string;
  /** The experiment; if left out, the report is a table alone. */
  readonly experiment?: Experiment | undefined;
  /** The dataset, by its name or as a file. */
  readonly data: string;
  /** True for documents of a folder or JSON lines, or the text between documents; undefined if the text has none. */
  readonly documents?: true | string | undefined;
  /** The tokenizer. */
  readonly tokenizer: PlanTokenizer;
  /** The configuration that all cells start from. */
  readonly base: Changes;
  /** The seeds; each cell has one trial per seed. */
  readonly seeds: readonly number[];
  /** The measurement besides the loss; `loss` if left out. */
  readonly measure?: Measure | undefined;
  /** The cell that the others are compared with; the first one if left out. */
  readonly baseline?: string | undefined;
  /** The configurations. */
  readonly cells: readonly Cell[];
}

/** All fields that decide the result of a trial, except the program and the device. */
export interface Setting
  extends Pick<Plan, "data" | "documents" | "tokenizer"> {
  /** The measurement besides the loss. */
  readonly measure: Measure;
  /** Fields of the architecture, without the vocabulary. */
  readonly model: Changes["model"] & object;
  /** Fields of the training, with the seed. */
  readonly train: Partial<TrainConfig>;
  /** The share of the training split that is trained on, in (0, 1]. */
  readonly dataShare: number;
}

/** One run of a study: a cell with a seed. */
export interface Trial {
  /** The cell's name and the seed: unique in a plan. */
  readonly id: string;
  /** The cell's name. */
  readonly cell: string;
  /** The seed of the weights, the batches and dropout. */
  readonly seed: number;
  /** The base with the cell's changes. */
  readonly setting: Setting;
}

/** Options of an experiment on a preset. */
export interface ExperimentOptions {
  /** The name of the preset. */
  readonly name: string;
  /** The dataset, by its name or as a file. */
  readonly data: string;
  /** Steps of the longest trials. */
  readonly steps: number;
  /** The seeds; each cell has one trial per seed. */
  readonly seeds: readonly number[];
  /** The measurement besides the loss. */
  readonly measure: Measure;
}

/** Returns the base that trains a preset for a number of steps. */
export function baseOf(preset: Preset, maxSteps: number): Changes {
  const { seed: _, ...train } = preset.train;
  return { model: preset.model, train: { ...train, maxSteps } };
}

/** Returns the changed fields with their values. */
export function changedFields(
  { model, train, dataShare, tokenizer }: Changes & Pick<Cell, "tokenizer">,
): [field: string, value: unknown][] {
  const share = dataShare === undefined ? {} : { dataShare };
  const tokens = tokenizer === undefined ? {} : { tokenizer };
  return Object.entries({ ...tokens, ...model, ...train, ...share });
}

/** For each field of a plan: "text", or the values of which it has one; the others have checks of their own. */
const planFields: Readonly<
  Record<keyof Plan, "text" | readonly unknown[] | undefined>
> = {
  study: "text",
  about: "text",
  experiment: [undefined, "ablate", "scaling", "minimal"],
  data: "text",
  documents: undefined,
  tokenizer: undefined,
  base: undefined,
  seeds: undefined,
  measure: [undefined, "loss", "sample", "works", "positions"],
  baseline: undefined,
  cells: undefined,
};
const changeFields = ["model", "train", "dataShare"];
const tokenizers: readonly unknown[] = ["ascii", "chars", "bytes", "gpt2"];
const cellName = /^[A-Za-z0-9][A-Za-z0-9.+=_-]{0,79}$/;

/**
 * Checks a plan, and that each of its trials can be made, before the first one runs.
 *
 * @param value the parsed content of a plan's file
 * @throws {RangeError} naming the field or the cell and the problem
 */
export function checkPlan(value: unknown): Plan {
  const that: (condition: boolean, reason: string) => asserts condition = (
    condition,
    reason,
  ) => {
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
  const checkTokenizer = (name: unknown, of: string) => {
    const mistake = isBpe(name)
      ? bpeMistake(name)
      : tokenizers.includes(name)
      ? undefined
      : `is none of ${tokenizers.join(", ")} and bpe:N`;
    that(mistake === undefined, `tokenizer ("${name}") of ${of} ${mistake}`);
  };
  that(isRecord(value), "it is not an object");
  const plan = value as unknown as Plan;
  onlyFields(plan, Object.keys(planFields), "a plan");
  for (const [field, kind] of Object.entries(planFields)) {
    const given = value[field];
    if (kind === "text") {
      that(typeof given === "string", `${field} is not text`);
    } else if (kind !== undefined) {
      const names = kind.filter((name) => name !== undefined).join(", ");
      that(kind.includes(given), `${field} ("${given}") is none of ${names}`);
    }
  }
  checkTokenizer(plan.tokenizer, "the plan");
  const { documents } = plan;
  const isText = typeof documents === "string" && documents !== "";
  that(
    documents === undefined || documents === true || isText,
    "documents is neither true nor the text between them",
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
    const fields = ["name", "seeds", "tokenizer", ...changeFields];
    onlyFields(cell, fields, `cell ${name}`);
    if (cell.tokenizer !== undefined) {
      checkTokenizer(cell.tokenizer, `cell ${name}`);
    }
    if (cell.seeds !== undefined) checkSeeds(cell.seeds, `cell ${name}`);
  }
  const { baseline } = plan;
  that(
    baseline === undefined || names.has(baseline),
    `the baseline ${baseline} is no cell`,
  );
  const { experiment = "ablate", measure = "loss" } = plan;
  that(
    lossUnit(plan) === "nats per token" ||
      (experiment === "ablate" && /^(loss|sample)$/.test(measure)),
    "cells with different tokenizers have losses and samples to compare, and no other measure or experiment",
  );
  for (const trial of trialsOf(plan)) checkTrial(trial);
  return plan;
}

function checkTrial({ id, setting }: Trial): void {
  const { model, train, dataShare } = setting;
  const refused = (reason: string) =>
    refusal(RangeError, "use this plan", `trial ${id}: ${reason}`);
  try {
    modelConfig({ ...model, vocabSize: 1 });
    trainConfig(train);
  } catch (error) {
    throw refused(reasonGiven(error));
  }
  if (dataShare > 0 && dataShare <= 1) return;
  throw refused(`dataShare (${dataShare}) is not a number above 0, at most 1`);
}

/** Returns the unit in which a plan's losses are compared: a token is not the same event for different tokenizers. */
export function lossUnit(
  { tokenizer, cells }: Plan,
): "nats per token" | "bits per character" {
  const names = new Set(cells.map((cell) => cell.tokenizer ?? tokenizer));
  return names.size > 1 ? "bits per character" : "nats per token";
}

/** Returns the trials of a plan, seed after seed, so that all cells have their first trial early. */
export function trialsOf(
  { data, documents, tokenizer, measure = "loss", base, cells, seeds }: Plan,
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
          ...{ data, measure, tokenizer: cell.tokenizer ?? tokenizer },
          ...documents !== undefined && { documents },
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

/** Highest `maskValue` that is taken to hide the future if nothing else was measured: exp(-1e4) is 0 in 32 bits. */
const HIDING = -1e4;

/**
 * Returns whether a model's mask lets tokens see the tokens they are to predict: then its loss
 * means nothing.
 *
 * @param model fields of a model; fields left out have their defaults
 * @param causal the measurement: true if no token changed a bit of the logits before it. It
 * decides about a finite mask, which hides the future as long as scores stay far above it; without a
 * measurement, `maskValue` decides
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

/** Returns the name of the cell that the others are compared with. */
export function baselineOf({ baseline, cells }: Plan): string {
  return baseline ?? cells[0]!.name;
}

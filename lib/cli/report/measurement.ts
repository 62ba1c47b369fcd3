/**
 * Figures of a report that a run did not write down: computed from its text and weights, as far as
 * those still exist.
 */

import { basename, join } from "@std/path";
import { Dataset } from "../../text/dataset.ts";
import { Model, type ModelPlacement } from "../../model/model.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import type { Tokens } from "../../text/tokens.ts";
import { loadRecorded } from "../text/corpus.ts";
import { isRefusal, refusal, withoutHint } from "../../refusal.ts";
import { exists } from "../run/files.ts";
import { files } from "../run/directory.ts";
import { readTrainedModel, type TrainedModel } from "../verbs/trained_model.ts";
import { inspect, type Inspection } from "./inspection.ts";
import { corpusOf, type RunRecord } from "./run_record.ts";
import { isLineEnd } from "./token_text.ts";
import { type Yardstick, yardsticksOf } from "./yardsticks.ts";

/** Results of a measurement, with the reasons for missing ones. */
export interface Measurement {
  /** Losses of models that count; empty if the text is gone. */
  readonly yardsticks: readonly Yardstick[];
  /** Reason why there are no yardsticks. */
  readonly textProblem: string | undefined;
  /** A text read by the run's model; absent if there are no weights, or no text to show them. */
  readonly reading: Reading | undefined;
  /** Reason why the reading is absent. */
  readonly modelProblem: string | undefined;
}

/** A text as a model of the run reads it. */
export interface Reading extends Inspection {
  readonly tokenizer: Tokenizer;
  /** The file of its weights. */
  readonly weights: string;
  /** True if the text is the model's own, in place of the validation split. */
  readonly ownText: boolean;
}

/** Options of a measurement. */
export interface MeasureOptions {
  readonly placement: ModelPlacement;
  readonly signal: AbortSignal;
  /** Called with a description of each stage as it begins. */
  readonly onStage: (doing: string) => void;
}

/** The two splits of a run's text. */
interface Splits {
  readonly train: Tokens;
  readonly val: Tokens;
}

/** Computes all results that are still possible; reports a problem for each other one instead of throwing. */
export async function measure(
  run: RunRecord,
  { placement, signal, onStage }: MeasureOptions,
): Promise<Measurement> {
  const trained = await attempt(() => readWeights(run.path));
  const text = await attempt(() => readSplits(run, trained.value, signal));
  onStage("counting n-grams");
  const vocabSize = Number(run.model["vocabSize"]);
  const yardsticks = await attempt(() =>
    text.value === undefined
      ? []
      : yardsticksOf(text.value, vocabSize, { signal })
  );
  onStage("reading a passage");
  signal.throwIfAborted();
  const reading = await attempt(() =>
    trained.value === undefined
      ? undefined
      : read(trained.value, { run, splits: text.value, placement })
  );
  return {
    yardsticks: yardsticks.value ?? [],
    textProblem: text.problem ?? yardsticks.problem,
    reading: reading.value,
    modelProblem: trained.problem ?? reading.problem,
  };
}

/** The value of an action, or the problem that prevented it. */
interface Attempt<Value> {
  readonly value?: Value;
  readonly problem?: string;
}

async function attempt<Value>(
  action: () => Value | Promise<Value>,
): Promise<Attempt<Value>> {
  try {
    return { value: await action() };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { problem: withoutHint(error) };
  }
}

/** Reads the weights with the lowest validation loss, or the last ones of a run that was not evaluated. */
async function readWeights(path: string): Promise<TrainedModel> {
  return await readTrainedModel(path, {
    best: await exists(join(path, files.best)),
  });
}

async function readSplits(
  run: RunRecord,
  trained: TrainedModel | undefined,
  signal: AbortSignal,
): Promise<Splits> {
  const record = corpusOf(run);
  if (record === undefined) {
    throw refusal(
      RangeError,
      "find the text",
      "config.json does not say which it was",
    );
  }
  const kind = run.tokenizer["kind"];
  const { tokens } = await loadRecorded(record, {
    tokenizer: trained?.checkpoint.tokenizer ??
      (kind === "bytes" || kind === "chars" ? kind : "ascii"),
    signal,
  });
  const blockSize = Number(run.model["blockSize"]);
  const size = new Dataset(tokens, { blockSize, batchSize: 1 }).size("train");
  return { train: tokens.subarray(0, size), val: tokens.subarray(size) };
}

async function read(
  { path, checkpoint }: TrainedModel,
  { run, splits, placement }: {
    readonly run: RunRecord;
    readonly splits: Splits | undefined;
    readonly placement: ModelPlacement;
  },
): Promise<Reading | undefined> {
  const { tokenizer } = checkpoint;
  if (tokenizer === undefined) {
    throw refusal(
      RangeError,
      `read a text with ${path}`,
      "it was saved without a tokenizer",
    );
  }
  const tokens = splits?.val ?? ownText(run, tokenizer);
  if (tokens === undefined || tokens.length < 8) return undefined;
  await using model = await Model.load(checkpoint, placement);
  const inspection = await inspect(
    model,
    tokens,
    (id) => isLineEnd(tokenizer, id),
  );
  return {
    ...inspection,
    tokenizer,
    weights: basename(path),
    ownText: splits === undefined,
  };
}

/** Returns the last sample that the model wrote. */
function ownText(
  { samples }: RunRecord,
  tokenizer: Tokenizer,
): Tokens | undefined {
  const last = samples.at(-1);
  return last && tokenizer.encode(`${last.prompt}${last.text}`);
}

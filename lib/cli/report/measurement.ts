/**
 * Figures of a report that a run did not write down: computed from its text and weights, as far as
 * those still exist. They are the losses of n-gram models on its text, the loss of each token of a
 * passage, and the attention maps of a prompt.
 */

import { basename, join } from "@std/path";
import type { Numbers } from "../../backends/backend.ts";
import { logSumExp } from "../../checks/leaks.ts";
import { splitsOf } from "../../lab/trial.ts";
import { attentionMaps } from "../../model/attention_maps.ts";
import { Model, type ModelPlacement } from "../../model/model.ts";
import { rowsOfLogits } from "../../model/plans.ts";
import { isRefusal, refusal, withoutHint } from "../../refusal.ts";
import { NgramModel } from "../../text/ngram.ts";
import { endOfText } from "../../text/special.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import type { Tokens } from "../../text/tokens.ts";
import { files } from "../run/directory.ts";
import { exists } from "../run/files.ts";
import { corpusRecord, loadRecorded } from "../text/corpus.ts";
import {
  readTrainedModel,
  tokenizerOf,
  type TrainedModel,
} from "../verbs/trained_model.ts";
import type { RunRecord } from "./run_record.ts";

/** Results of a measurement, with the reasons for missing ones. */
export interface Measurement {
  /** Losses of n-gram models; empty if the text is gone. */
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

/** The two splits of a text. */
type Splits = ReturnType<typeof splitsOf>;

/** Returns the device for the work on a checkpoint. */
type PlacementFor = (
  checkpoint: TrainedModel["checkpoint"],
) => Promise<ModelPlacement>;

/** Computes all results that are still possible; reports a problem for each other one instead of throwing. */
export async function measure(
  run: RunRecord,
  { placementFor, signal, onStage }: {
    readonly placementFor: PlacementFor;
    readonly signal: AbortSignal;
    /** Called with a description of each stage as it begins. */
    readonly onStage: (doing: string) => void;
  },
): Promise<Measurement> {
  // The weights with the lowest validation loss, or the last ones of a run that was not evaluated.
  const trained = await attempt(async () =>
    readTrainedModel(run.path, {
      best: await exists(join(run.path, files.best)),
    })
  );
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
      : read(trained.value, { run, splits: text.value, placementFor })
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

async function readSplits(
  run: RunRecord,
  trained: TrainedModel | undefined,
  signal: AbortSignal,
): Promise<Splits> {
  const record = corpusRecord(run.data);
  if (record === undefined) {
    throw refusal(
      RangeError,
      "find the text",
      `${files.config} does not say which it was`,
    );
  }
  const kind = run.tokenizer["kind"];
  const { tokens } = await loadRecorded(record, {
    tokenizer: trained?.checkpoint.tokenizer ??
      (kind === "bytes" || kind === "chars" ? kind : "ascii"),
    signal,
  });
  return splitsOf(tokens);
}

async function read(
  trained: TrainedModel,
  { run, splits, placementFor }: {
    readonly run: RunRecord;
    readonly splits: Splits | undefined;
    readonly placementFor: PlacementFor;
  },
): Promise<Reading | undefined> {
  const { path, checkpoint } = trained;
  const tokenizer = tokenizerOf(trained);
  const written = run.samples.at(-1);
  const tokens = splits?.heldOut ??
    (written && tokenizer.encode(`${written.prompt}${written.text}`));
  if (tokens === undefined || tokens.length < 8) return undefined;
  await using model = await Model.load(
    checkpoint,
    await placementFor(checkpoint),
  );
  return {
    ...await inspect(model, tokens, (id) => isLineEnd(tokenizer, id)),
    tokenizer,
    weights: basename(path),
    ownText: splits === undefined,
  };
}

/** Tokens of the passage whose losses are shown. */
const PASSAGE = 900;
/** Tokens of the text whose attention is shown. */
const PROMPT = 24;
/** Guesses shown for each token. */
const GUESSES = 3;

/** A token of a passage, with the model's loss and guesses for it. */
export interface ReadToken {
  readonly id: number;
  /** The loss, in nats. */
  readonly loss: number;
  /** The likeliest tokens, best first. */
  readonly guesses: readonly {
    readonly id: number;
    readonly probability: number;
  }[];
}

/** A passage and a prompt, as a model read them. */
export interface Inspection {
  readonly passage: readonly ReadToken[];
  /** The tokens that attention is shown on. */
  readonly prompt: Int32Array;
  /** For each layer (NH, T, T); see `attentionMaps`. */
  readonly maps: readonly Float64Array[];
}

/**
 * Reads a passage with a model.
 *
 * @param tokens a text that begins before the passage, so that it has a context; at least 2
 * @param isLineEnd whether a token ends a line: passage and prompt begin after one
 */
export async function inspect(
  model: Model,
  tokens: Tokens,
  isLineEnd: (id: number) => boolean,
): Promise<Inspection> {
  const { blockSize } = model.config;
  const start = lineAfter(
    tokens,
    Math.min(blockSize, Math.floor(tokens.length / 4)),
    isLineEnd,
  );
  const end = Math.min(start + PASSAGE, tokens.length);
  const passage = await readPassage(model, tokens, { start, end });
  const promptEnd = Math.min(start + Math.min(PROMPT, blockSize), end);
  const prompt = Int32Array.from(
    tokens.subarray(Math.min(start, promptEnd - 1), promptEnd),
  );
  return { passage, prompt, maps: await attentionMaps(model, prompt) };
}

/** Finds the first position from `from` on at which a line begins, if there is one near. */
function lineAfter(
  tokens: Tokens,
  from: number,
  isLineEnd: (id: number) => boolean,
): number {
  const first = Math.max(1, from);
  // Prefer a line after an empty one: a new passage begins there.
  for (const lines of [2, 1]) {
    for (let at = first; at < Math.min(first + 400, tokens.length / 2); at++) {
      const before = tokens.subarray(Math.max(0, at - lines), at);
      if (before.length === lines && before.every(isLineEnd)) return at;
    }
  }
  return first;
}

/**
 * Reads each token from `start` to `end` after as much context as there is, from half a block to a
 * whole one: the windows are side by side and overlap by half.
 */
async function readPassage(
  model: Model,
  tokens: Tokens,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<ReadToken[]> {
  const { blockSize: T, vocabSize: V } = model.config;
  const stride = Math.max(1, Math.floor(T / 2));
  const B = Math.ceil((end - start) / stride);
  const ids = new Int32Array(B * T);
  const rows = Array.from({ length: B }, (_, b) => {
    const first = start + b * stride;
    const last = Math.min(first + stride, end);
    const from = Math.max(0, last - 1 - T);
    ids.set(tokens.subarray(from, last - 1), b * T);
    return { first, last, from };
  });
  const read: ReadToken[] = [];
  const count = rowsOfLogits(model.config, T);
  for (let row = 0; row < B; row += count) {
    const some = rows.slice(row, row + count);
    const logits = await model.forward(
      ids.subarray(row * T, (row + some.length) * T),
      { B: some.length, T },
    );
    for (const [b, { first, last, from }] of some.entries()) {
      for (let token = first; token < last; token++) {
        const at = (b * T + token - 1 - from) * V;
        const here = logits.subarray(at, at + V);
        read.push(readToken(tokens[token]!, here));
      }
    }
  }
  return read;
}

function readToken(id: number, logits: Numbers): ReadToken {
  const total = logSumExp(logits);
  const guesses = largest(logits, GUESSES)
    .map((id) => ({ id, probability: Math.exp(logits[id]! - total) }));
  return { id, loss: total - logits[id]!, guesses };
}

/** Returns the ids of the `count` largest logits, largest first; of equals the lower id comes first. */
function largest(logits: Numbers, count: number): number[] {
  const best: number[] = [];
  for (const [id, logit] of logits.entries()) {
    if (best.length === count && logit <= logits[best[count - 1]!]!) continue;
    const after = best.findIndex((other) => logits[other]! < logit);
    best.splice(after < 0 ? best.length : after, 0, id);
    best.length = Math.min(best.length, count);
  }
  return best;
}

/** An n-gram model's name, and its loss on the validation split in nats per token. */
export interface Yardstick {
  readonly name: string;
  readonly loss: number;
}

/** The orders of the n-gram models, with their names. */
const orders: readonly (readonly [order: number, name: string])[] = [
  [1, "unigram"],
  [2, "bigram"],
  [3, "trigram"],
  [5, "5-gram"],
];

/** Most tokens counted: each new context costs memory. */
const MOST_COUNTED = 4_000_000;

/**
 * Fits n-gram models on one split and measures them on the other.
 *
 * @param tokens of both splits; of long ones what lies next to the cut
 */
export function yardsticksOf(
  tokens: Splits,
  vocabSize: number,
  options: { readonly signal?: AbortSignal } = {},
): Yardstick[] {
  const training = tokens.training.subarray(-MOST_COUNTED);
  const heldOut = tokens.heldOut.subarray(0, MOST_COUNTED);
  return [
    { name: "uniform", loss: Math.log(vocabSize) },
    ...orders.map(([order, name]) => ({
      name,
      loss: NgramModel.fit(training, { order, vocabSize, ...options })
        .loss(heldOut, options),
    })),
  ];
}

/** Describes in words where a loss lies among the yardsticks. */
export function placeAmong(
  yardsticks: readonly Yardstick[],
  loss: number,
): string {
  const sorted = yardsticks.toSorted((a, b) => b.loss - a.loss);
  const beaten = sorted.filter((yardstick) => yardstick.loss > loss).at(-1);
  const next = sorted.find((yardstick) => yardstick.loss <= loss);
  const named = ({ name, loss }: Yardstick) => `${name} (${loss.toFixed(2)})`;
  if (beaten === undefined) return `above ${named(sorted[0]!)}`;
  return next === undefined
    ? `below ${named(beaten)}, the best that counting does here`
    : `between ${named(beaten)} and ${named(next)}`;
}

/** Returns whether a token ends a line or a document. */
function isLineEnd(tokenizer: Tokenizer, id: number): boolean {
  return id === endOfText(tokenizer) || tokenizer.decode([id]).endsWith("\n");
}

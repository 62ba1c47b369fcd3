/** Runs of a trained model on its two paths: full passes over text, and decoding of one token at a time. */

import type { Numbers } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import type { Model } from "../model/model.ts";
import { rowsOfLogits } from "../model/plans.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { type Logits, Sampler } from "../text/sampler.ts";
import { CachedRun } from "./cached_run.ts";

/** Rows per batch. */
const ROWS = 16;

/** Mean losses of the same tokens on two paths, in nats per token. */
export interface PathLosses {
  /** Loss of full passes over whole windows, as in training. */
  readonly full: number;
  /** Loss of decoding one token at a time, as in generation, where the model cannot see later tokens. */
  readonly stepwise: number;
}

/**
 * Returns the losses of windows on both paths, over each token but the first given the tokens before it.
 *
 * @param windows windows of equal length, from 2 to `blockSize`
 */
export async function pathLosses(
  model: Model,
  windows: readonly Int32Array[],
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<PathLosses> {
  const { vocabSize: V } = model.config;
  const softmax = new Softmax(V);
  let [full, stepwise, count] = [0, 0, 0];
  for (const rows of chunks(model, windows)) {
    const T = rows[0]!.length;
    const logits = await fullPass(model, rows);
    await using run = new CachedRun(model, rows.length);
    for (let t = 0; t + 1 < T; t++) {
      signal?.throwIfAborted();
      const last = await run.feed(rows.map((row) => [row[t]!]));
      for (const [b, row] of rows.entries()) {
        const target = row[t + 1]!;
        full += softmax.of(at(logits, b * T + t, V)).loss(target);
        stepwise += softmax.of(at(last, b, V)).loss(target);
        count++;
      }
    }
  }
  return { full: full / count, stepwise: stepwise / count };
}

/** Predictions of a model for texts, given the true tokens. */
export interface TeacherForced {
  /** Mean loss over each token but the first, in nats per token. */
  readonly loss: number;
  /** Tokens drawn for the second position of each text, the third, …, at temperature 1 without label smoothing. */
  readonly drawn: readonly Int32Array[];
}

/**
 * Predicts each token of texts but the first with full passes.
 *
 * @param windows windows of equal length, from 2 to `blockSize`
 */
export async function teacherForced(
  model: Model,
  windows: readonly Int32Array[],
  { seed, signal }: {
    readonly seed: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<TeacherForced> {
  const { vocabSize: V, labelSmoothing } = model.config;
  const softmax = new Softmax(V);
  const random = new CounterRandom(seed, Purpose.sample, 1);
  const drawn: Int32Array[] = [];
  let [loss, count] = [0, 0];
  for (const rows of chunks(model, windows)) {
    signal?.throwIfAborted();
    const T = rows[0]!.length;
    const logits = await fullPass(model, rows);
    for (const [b, row] of rows.entries()) {
      const number = drawn.length;
      drawn.push(Int32Array.from({ length: T - 1 }, (_, t) => {
        softmax.of(at(logits, b * T + t, V));
        loss += softmax.loss(row[t + 1]!);
        count++;
        softmax.unsmooth(labelSmoothing);
        return softmax.draw(random.uniform(number, t));
      }));
    }
  }
  return { loss: loss / count, drawn };
}

/**
 * Continues several prompts in one batch, at temperature 1 without label smoothing.
 *
 * @param options.tokens number of tokens to add to each prompt
 * @returns the tokens added to each prompt
 */
export async function continuations(
  model: Model,
  prompts: readonly ArrayLike<number>[],
  { tokens, seed, signal }: {
    readonly tokens: number;
    readonly seed: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Int32Array[]> {
  const texts = prompts.map(() => new Int32Array(tokens));
  const steps = model.generateBatch(prompts, {
    sampler: new PlainSampler(model.config, seed),
    maxNewTokens: tokens,
    ...(signal && { signal }),
  });
  let step = 0;
  for await (const ids of steps) {
    ids.forEach((id, row) => texts[row]![step] = id);
    step++;
  }
  signal?.throwIfAborted();
  return texts;
}

/** Draws at temperature 1 from a model's distribution, with label smoothing removed. */
class PlainSampler extends Sampler {
  readonly #smoothing: number;
  readonly #softmax: Softmax;
  readonly #random: CounterRandom;

  constructor({ vocabSize, labelSmoothing }: ModelConfig, seed: number) {
    super({ temperature: 1, seed });
    this.#smoothing = labelSmoothing;
    this.#softmax = new Softmax(vocabSize);
    this.#random = new CounterRandom(seed, Purpose.sample);
  }

  override sampleBatch(
    logits: Logits,
    options: Parameters<Sampler["sampleBatch"]>[1],
  ): Int32Array {
    const { rows, step } = options;
    const ids = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      const softmax = this.#softmax.of(at(logits, row, logits.length / rows));
      // The other sampler says what is wrong with the logits.
      if (!softmax.isFinite) return super.sampleBatch(logits, options);
      softmax.unsmooth(this.#smoothing);
      ids[row] = softmax.draw(this.#random.uniform(step, row));
    }
    return ids;
  }
}

function fullPass(
  model: Model,
  rows: readonly Int32Array[],
): Promise<Numbers> {
  const T = rows[0]!.length;
  const tokens = new Int32Array(rows.length * T);
  rows.forEach((row, b) => tokens.set(row, b * T));
  return model.forward(tokens, { B: rows.length, T });
}

function* chunks(
  { config }: Model,
  windows: readonly Int32Array[],
): Generator<Int32Array[]> {
  const { length: T } = windows[0] ?? [];
  const count = Math.min(ROWS, rowsOfLogits(config, T ?? 1));
  for (let first = 0; first < windows.length; first += count) {
    yield windows.slice(first, first + count);
  }
}

/** Returns the logits of one position. */
function at(logits: Numbers, position: number, V: number): Numbers {
  return logits.subarray(position * V, (position + 1) * V);
}

/**
 * The softmax of one row of logits at a time. A check goes through 20,000 rows, each as long as the vocabulary: the
 * exponentials of a row are computed once, for the loss and for a draw.
 */
class Softmax {
  /** Probabilities times a factor, shape (V). */
  readonly #weights: Float64Array;
  #logits: Numbers = new Float64Array();
  /** The largest logit, whose token has weight 1. */
  #most = 0;
  #sum = 0;

  constructor(V: number) {
    this.#weights = new Float64Array(V);
  }

  /** Takes the logits of a row. */
  of(logits: Numbers): this {
    const weights = this.#weights;
    const most = largest(logits);
    let sum = 0;
    for (let id = 0; id < weights.length; id++) {
      sum += weights[id] = Math.exp(logits[id]! - most);
    }
    [this.#logits, this.#most, this.#sum] = [logits, most, sum];
    return this;
  }

  /** True if the row has a softmax. */
  get isFinite(): boolean {
    return Number.isFinite(this.#sum);
  }

  /** Returns the loss of a token, in nats. */
  loss(target: number): number {
    return this.#most + Math.log(this.#sum) - this.#logits[target]!;
  }

  /**
   * Removes label smoothing s: a model trained with it learns (1 - s) p + s / V in place of p, so a fraction s of its text
   * is noise.
   */
  unsmooth(smoothing: number): void {
    if (smoothing === 0) return;
    const weights = this.#weights;
    const noise = smoothing / weights.length * this.#sum;
    let sum = 0;
    for (let id = 0; id < weights.length; id++) {
      // The most probable token always stays, since its probability is at least 1 / V.
      const least = weights[id] === 1 ? Number.MIN_VALUE : 0;
      sum += weights[id] = Math.max(weights[id]! - noise, least);
    }
    this.#sum = sum;
  }

  /** Returns the token that a uniform number in [0, 1) selects. */
  draw(uniform: number): number {
    const weights = this.#weights;
    let left = uniform * this.#sum;
    let last = 0;
    for (let id = 0; id < weights.length; id++) {
      const weight = weights[id]!;
      if (weight === 0) continue;
      last = id;
      left -= weight;
      if (left < 0) break;
    }
    return last;
  }
}

/** Returns the logarithm of the sum of exponentials, the normalizer of a softmax. */
export function logSumExp(logits: Numbers): number {
  const most = largest(logits);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}

function largest(logits: Numbers): number {
  let most = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    if (logits[id]! > most) most = logits[id]!;
  }
  return most;
}

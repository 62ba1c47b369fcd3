/** Runs of a trained model on its two paths: full passes over text, and decoding of one token at a time. */

import type { Numbers } from "../backends/backend.ts";
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
        full += lossOf(at(logits, b * T + t, V), target);
        stepwise += lossOf(at(last, b, V), target);
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
        const here = at(logits, b * T + t, V);
        loss += lossOf(here, row[t + 1]!);
        count++;
        const plain = withoutSmoothing(here, V, labelSmoothing);
        return draw(plain, random.uniform(number, t));
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
    sampler: new PlainSampler(model.config.labelSmoothing, seed),
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

  constructor(smoothing: number, seed: number) {
    super({ temperature: 1, seed });
    this.#smoothing = smoothing;
  }

  override sampleBatch(
    logits: Logits,
    options: Parameters<Sampler["sampleBatch"]>[1],
  ): Int32Array {
    const V = logits.length / options.rows;
    const plain = withoutSmoothing(logits, V, this.#smoothing);
    return super.sampleBatch(plain, options);
  }
}

/**
 * Removes label smoothing s from logits: a model trained with it learns (1 - s) p + s / V in place
 * of p, so a fraction s of its text is noise.
 *
 * @param logits (rows, V)
 * @returns logits (rows, V) of p
 */
function withoutSmoothing(
  logits: Numbers,
  V: number,
  smoothing: number,
): Logits {
  if (smoothing === 0) return logits as Logits;
  const plain = new Float64Array(logits.length);
  for (let row = 0; row * V < logits.length; row++) {
    const here = at(logits, row, V);
    const total = logSumExp(here);
    const most = largest(here);
    here.forEach((logit, id) => {
      const p = Math.exp(logit - total) - smoothing / V;
      // The most probable token always stays, since its probability is at least 1 / V.
      plain[row * V + id] = p > 0 || logit === most
        ? Math.log(Math.max(p, Number.MIN_VALUE))
        : -Infinity;
    });
  }
  return plain;
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

function lossOf(logits: Numbers, target: number): number {
  return logSumExp(logits) - logits[target]!;
}

/** Returns the logarithm of the sum of exponentials, the normalizer of a softmax. */
export function logSumExp(logits: Numbers): number {
  const most = largest(logits);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}

/** Returns the token that a uniform number in [0, 1) selects. */
function draw(logits: Numbers, uniform: number): number {
  const total = logSumExp(logits);
  let left = uniform;
  let last = 0;
  for (const [token, logit] of logits.entries()) {
    if (logit === -Infinity) continue;
    last = token;
    left -= Math.exp(logit - total);
    if (left < 0) break;
  }
  return last;
}

function largest(logits: Numbers): number {
  let most = -Infinity;
  for (const logit of logits) if (logit > most) most = logit;
  return most;
}

/**
 * Full passes of a model over whole sequences, without gradients: the logits after
 * every token, and the loss of a split. `generate.ts` runs one token at a time.
 */

import type { Numbers } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import type { BatchShape, EvalBatch } from "../text/dataset.ts";
import type { Plan } from "../graph/plan.ts";
import { cutPlan, PartRunner, yieldIfDue } from "./parts.ts";
import { flopsPerToken } from "./parameters.ts";
import {
  EVAL_SLOTS,
  evalPlan,
  type EvalShape,
  hasManyLogits,
  parameterLayout,
} from "./plans.ts";
import type { ModelInternals } from "./internals.ts";
import { refuser } from "../refusal.ts";

const cannotEvaluate = refuser(RangeError, "evaluate model");
const cannotRun = refuser(RangeError, "run model");

/** Most work queued on the device ahead of the host, in milliseconds. */
const AHEAD_MS = 100;

/** Options of an evaluation. */
export interface EvaluateOptions {
  /** Signal that aborts the evaluation, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Returns the plan of one evaluation batch, split into parts if it is long; see {@linkcode evalPlan}. */
export function evaluationPlan(
  model: ModelConfig,
  { B, T, logits }: EvalShape,
): Plan {
  const trainFlops = B * T * flopsPerToken(model, parameterLayout(model));
  return cutPlan(evalPlan(model, { B, T, logits }), "eval", trainFlops / 3);
}

/** Runs the eval plans of a model, one at a time since they share the store of losses. */
export class Evaluator {
  readonly #model: ModelInternals;
  /** Promise that settles when all requested work is done. */
  #last: Promise<void> = Promise.resolve();

  /** Creates an evaluator; plans are compiled on first use. */
  constructor(model: ModelInternals) {
    this.#model = model;
  }

  /** See `Model.forward`. */
  forward(tokens: Int32Array, shape: BatchShape): Promise<Numbers> {
    return this.#inTurn(async () => {
      await yieldIfDue();
      checkTokens(tokens, shape, this.#model.config);
      const whole = { ...shape, logits: true };
      return await this.#use(whole, async (runner) => {
        const { program } = runner;
        program.buffer("tokens").write(tokens);
        program.buffer("targets").write(new Int32Array(tokens.length).fill(-1));
        await runner.run();
        return await program.buffer("logits").read();
      });
    });
  }

  /** See `Model.evaluate`. */
  evaluate(
    batches: Iterable<EvalBatch>,
    options: EvaluateOptions,
  ): Promise<number> {
    return this.#inTurn(() => this.#meanLoss(batches, options));
  }

  async #meanLoss(
    batches: Iterable<EvalBatch>,
    { signal }: EvaluateOptions,
  ): Promise<number> {
    let total = 0;
    let count = 0;
    let filled = 0;
    /** Batches until the next read, the time of the last read, and the milliseconds per batch. */
    let most = 1;
    let collected = performance.now();
    let msPerBatch = 0;
    const collect = async () => {
      const losses = await this.#model.stores.get("losses")!.read(0, filled);
      for (const loss of losses) total += loss;
      filled = 0;
    };
    for (const batch of batches) {
      await yieldIfDue();
      signal?.throwIfAborted();
      checkTokens(batch.tokens, batch, this.#model.config);
      checkTargets(batch, this.#model.config);
      await this.#use(batch, async (runner) => {
        const { program } = runner;
        program.buffer("tokens").write(batch.tokens);
        program.buffer("targets").write(batch.targets);
        program.buffer("key").write([0, 0, 0, filled]);
        const isOver = () => !!signal?.aborted;
        await runner.run({ isOver, lastMs: msPerBatch });
      });
      signal?.throwIfAborted();
      count += batch.count;
      filled++;
      // The device must not run far ahead of the host, since queued work cannot be cancelled.
      if (filled >= most) {
        await collect();
        msPerBatch = (performance.now() - collected) / most;
        collected = performance.now();
        most = Math.round(AHEAD_MS / msPerBatch);
        most = Math.min(EVAL_SLOTS, Math.max(1, most));
      }
    }
    if (filled > 0) await collect();
    if (count === 0) {
      throw cannotEvaluate("the batches have 0 targets");
    }
    return total / count;
  }

  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const result = this.#last.then(work);
    this.#last = result.then(() => {}, () => {});
    return result;
  }

  /** Runs `work` with the program for a batch shape. */
  #use<Value>(
    { B, T, logits }: EvalShape,
    work: (runner: PartRunner) => Promise<Value>,
  ): Promise<Value> {
    const { config, executor, evaluations } = this.#model;
    // One program serves both purposes where the logits take little memory.
    const keepsLogits = logits ?? !hasManyLogits(config, { B, T });
    return evaluations.use(
      `${B}x${T}${keepsLogits ? " logits" : ""}`,
      () => this.#model.bind(evaluationPlan(config, { B, T, logits })),
      (program) => work(new PartRunner(program, executor, "eval")),
    );
  }
}

/**
 * Throws if a model cannot run on the given ids.
 *
 * @throws {RangeError} if their number is not B·T, T is above `blockSize`, or an id is not in the vocabulary
 */
export function checkTokens(
  tokens: Int32Array,
  { B, T }: BatchShape,
  { blockSize, vocabSize }: ModelConfig,
): void {
  checkLength("tokens", tokens, { B, T });
  if (T > blockSize) {
    throw cannotRun(`T (${T}) is above blockSize (${blockSize})`);
  }
  for (const token of tokens) {
    if (token < 0 || token >= vocabSize) {
      throw cannotRun(`token ${token} is not from 0 to ${vocabSize - 1}`);
    }
  }
}

function checkTargets(
  { B, T, targets, count }: EvalBatch,
  { vocabSize }: ModelConfig,
): void {
  checkLength("targets", targets, { B, T });
  let real = 0;
  for (const target of targets) {
    if (target >= 0) real++;
    if (target < -1 || target >= vocabSize) {
      throw cannotEvaluate(
        `target ${target} is neither -1 nor from 0 to ${vocabSize - 1}`,
      );
    }
  }
  if (real !== count) {
    throw cannotEvaluate(
      `count (${count}) is not the number of targets (${real})`,
    );
  }
}

function checkLength(
  what: string,
  { length }: Int32Array,
  { B, T }: BatchShape,
): void {
  const isShape = [B, T].every((n) => Number.isInteger(n) && n >= 1);
  if (!isShape || B * T !== length) {
    throw cannotRun(`${length} ${what} are not ${B} rows of ${T}`);
  }
}

/**
 * The training loop: batches in, events out. It never waits for a single step:
 * the device keeps the metrics of recent steps, and they are read a few at a time
 * while later steps run.
 */

import type { DeviceBuffer, Numbers } from "../backends/backend.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import {
  type TrainConfig,
  trainConfig,
  type TrainOptions,
} from "../config/train.ts";
import type { Dataset } from "../text/dataset.ts";
import { firstNonFinite } from "./diagnosis.ts";
import { generateText } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { checkMemory } from "./memory.ts";
import { MetricsReader, NonFiniteError } from "./metrics.ts";
import { SplitLossMeter } from "./split_losses.ts";
import { TrainStep } from "./step.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import {
  checkDataset,
  checkExtras,
  type SampleRecipe,
  type TrainerExtras,
} from "./extras.ts";
import { decodeTraining, encodeTraining } from "./state.ts";
import type {
  CheckpointEvent,
  EvalEvent,
  SampleEvent,
  TrainEvent,
  UpdateEvent,
} from "./events.ts";
import { updateRatios } from "./update_ratio.ts";
import { internalsOf } from "../model/internals.ts";

/** Steps on end that may be left out for not being finite. */
const MOST_SKIPS = 10;

/** The largest share of a run's time that is left for the last evaluation. */
const CLOSING = 0.25;

/** How long after the deadline an evaluation or a sample may still take, in milliseconds. */
const GRACE_MS = 1000;

/**
 * Trains a model on a dataset.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Dataset, Model, Tokenizer, Trainer } from "@lm/core";
 *
 * const text = "to be or not to be, that is the question. ".repeat(9);
 * const tokenizer = Tokenizer.chars(text);
 * const dataset = new Dataset(tokenizer.encode(text), { blockSize: 8, batchSize: 2 });
 * await using model = await Model.create(
 *   { vocabSize: tokenizer.vocabSize, blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
 *   { device: "reference" },
 * );
 * const losses: number[] = [];
 * for await (const event of new Trainer(model, dataset, { maxSteps: 5 }).run()) {
 *   if (event.event === "step") losses.push(event.loss);
 * }
 * assertEquals(losses.length, 5);
 * ```
 */
export class Trainer {
  /** How the model is trained, with all defaults. */
  readonly config: TrainConfig;
  readonly #model: Model;
  readonly #dataset: Dataset;
  readonly #extras: TrainerExtras;
  readonly #meter: SplitLossMeter;
  readonly #trainStep: TrainStep;
  /** When the run began and when it has to be over, on the clock of `performance.now()`. */
  #begun = 0;
  #deadline = Infinity;
  /** Milliseconds that the last checkpoint took, and an evaluation's batch should take. */
  #savingMs = 0;
  #batchMs = 0;
  /** Whether the run ends without an evaluation. */
  #pausing = false;
  #step = 0;
  /** Whether what is due at this step may not have been told. */
  #restored = false;
  #stopping = false;
  /** The step of the last checkpoint, evaluation and sample. */
  #savedAt = -1;
  #evaluatedAt = -1;
  #sampledAt = -1;

  /**
   * Prepares training; nothing runs yet.
   *
   * @param options how to train; what is left out has its default
   * @throws {OutOfMemoryError} if the device lacks the memory for a step, an evaluation or a sample
   * @throws {RangeError} if an option is out of range, model, dataset and tokenizer do not fit each other, or the
   * device cannot run such a model
   * @throws {TypeError} if samples are asked for without a tokenizer
   */
  constructor(
    model: Model,
    dataset: Dataset,
    options: TrainOptions & TrainerExtras = {},
  ) {
    const { tokenizer = model.tokenizer, ...rest } = options;
    const { sample, onNonFinite, ...others } = rest;
    const { trainEvalBatches, evalTokens, charsPerToken, ...config } = others;
    const { batchSize = dataset.batchSize } = config;
    this.config = trainConfig({ ...config, batchSize });
    this.#model = model;
    this.#dataset = dataset;
    this.#extras = { sample, onNonFinite };
    const measured = { trainEvalBatches, evalTokens, charsPerToken };
    checkDataset(dataset, this.config, model.config);
    checkExtras({ ...this.#extras, ...measured, tokenizer }, model.config);
    checkMemory(model, dataset, { train: this.config, sample, tokenizer });
    model.tokenizer = tokenizer;
    this.#trainStep = new TrainStep(model, dataset, this.config);
    this.#meter = new SplitLossMeter(model, dataset, measured);
  }

  /** Optimizer steps done, those included that the device has yet to finish. */
  get step(): number {
    return this.#step;
  }

  /**
   * Ends {@linkcode Trainer.run} after the step under way, with a checkpoint, an evaluation and a sample.
   *
   * @param options.evaluate false for a pause of milliseconds: without evaluation and sample; those that are due
   * at this step are made up for when `run` is called again
   */
  stop(
    { evaluate = true }: { readonly evaluate?: boolean | undefined } = {},
  ): void {
    this.#stopping = true;
    this.#pausing = !evaluate;
  }

  /**
   * Trains until `maxSteps`, {@linkcode Trainer.stop}, the signal or the deadline.
   *
   * At the signal the step under way is left, unless the device has it whole; a checkpoint of the last whole step
   * and the end are still emitted. The deadline leaves time for the last checkpoint and evaluation, which measures
   * as many tokens as there is time for: none, if one batch takes too long. After {@linkcode Trainer.restore} the
   * run begins with the evaluation and the sample that are due at the restored step.
   *
   * While the consumer holds an eval, update, sample or checkpoint event, the model is exactly as it was after `step` steps.
   *
   * @param options.deadline when the run has to be over, on the clock of `performance.now()`; Infinity if left out
   * @throws {NonFiniteError} when the loss or a gradient is not finite and `onNonFinite` is not `skip`, or
   * when that happens in 10 steps on end
   * @throws {DeviceLostError} when the device goes away
   */
  async *run(
    { signal, deadline = Infinity }: {
      readonly signal?: AbortSignal | undefined;
      readonly deadline?: number | undefined;
    } = {},
  ): AsyncGenerator<TrainEvent, void> {
    this.#begun = performance.now();
    this.#deadline = deadline;
    this.#stopping = false;
    this.#pausing = false;
    for (let skips: NonFiniteError[] = [];;) {
      try {
        yield* this.#steps(signal);
        break;
      } catch (error) {
        if (!(error instanceof NonFiniteError)) throw error;
        const onEnd = error.step - 1 === skips.at(-1)?.step;
        skips = onEnd ? [...skips, error] : [error];
        const { onNonFinite = "stop" } = this.#extras;
        if (onNonFinite === "stop" || skips.length === MOST_SKIPS) throw error;
        // The step counts, and changed nothing.
        const { step, message } = error;
        this.#step = step;
        yield { event: "skip", step, message };
        if (this.#isDue()) yield* this.#pause(signal);
      }
    }
    const { maxSteps } = this.config;
    const reason = this.#step >= maxSteps
      ? "done"
      : signal?.aborted
      ? "aborted"
      : "stopped";
    if (reason !== "done" && this.#savedAt !== this.#step) yield* this.#keep();
    this.#stopping = reason === "stopped"; // also at the deadline
    if (this.#stopping) yield* this.#look(signal);
    const seconds = (performance.now() - this.#begun) / 1000;
    yield { event: "end", step: this.#step, reason, seconds };
  }

  /** Steps until the run is over. */
  async *#steps(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    await this.#trainStep.prepare();
    this.#store("loss").write([0]);
    if (this.#restored) yield* this.#look(signal);
    const metrics = await this.#trainStep.use(({ program }) =>
      new MetricsReader(program, this.config, this.#step)
    );
    while (!this.#isOver(signal) && !this.#isLate(metrics)) {
      const before = await this.#evaluatedWeights();
      if (before !== undefined) metrics.resume();
      const isOver = () =>
        signal?.aborted === true || performance.now() > this.#deadline;
      const lastMs = metrics.msPerStep;
      const isTaken = await this.#trainStep.take(this.#step, {
        isOver,
        lastMs,
      });
      if (!isTaken) break;
      this.#step++;
      yield* await metrics.submitted();
      // A third of the work of a micro-batch.
      this.#batchMs = metrics.msPerStep / 3 / this.config.gradAccumulation;
      await this.#check(metrics);
      if (before !== undefined || this.#isDue()) {
        yield* await metrics.drain();
        await this.#check(metrics);
        if (before !== undefined) yield await this.#update(before);
        yield* this.#pause(signal);
        metrics.resume();
      }
    }
    yield* await metrics.drain();
    await this.#check(metrics);
  }

  #isOver(signal: AbortSignal | undefined): boolean {
    return this.#step >= this.config.maxSteps || this.#stopping ||
      signal?.aborted === true;
  }

  /** Whether another step would end after the deadline, or leave too little time for what comes last. */
  #isLate(metrics: MetricsReader): boolean {
    const now = performance.now();
    const evaluation = this.#meter.expectedMs(this.#batchMs);
    const last = this.#savingMs +
      Math.min(evaluation, CLOSING * (this.#deadline - this.#begun));
    const next = now + metrics.msToNextStep;
    return next > this.#deadline || next + last > this.#deadline + GRACE_MS;
  }

  /** Throws if a step failed; `step` is then that of the weights, which the device has left alone since. */
  async #check(metrics: MetricsReader): Promise<void> {
    try {
      metrics.throwIfFailed();
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      const { step, loss, gradNorm } = error;
      this.#step = step - 1;
      const { plan } = this.#trainStep;
      const inputs = this.#trainStep.inputs(this.#step);
      const first = await firstNonFinite(this.#model, plan, inputs);
      throw new NonFiniteError(step, loss, gradNorm, first);
    }
  }

  /** The weights, if they are those of an evaluation: the next step's update is measured against them. */
  async #evaluatedWeights(): Promise<Numbers | undefined> {
    return this.#step > 0 && this.#isMultiple(this.config.evalInterval)
      ? await this.#store("params").read()
      : undefined;
  }

  /** Emitted before that step's checkpoint, so a resumed run keeps it. */
  async #update(before: Numbers): Promise<UpdateEvent> {
    const after = await this.#store("params").read();
    const ratios = updateRatios(internalsOf(this.#model).layout, {
      before,
      after,
    });
    return { event: "update", step: this.#step, ratios };
  }

  /** Whether the step just submitted is one to stop and look at. */
  #isDue(): boolean {
    const { maxSteps, evalInterval, sampleInterval, checkpointInterval } =
      this.config;
    return this.#step === maxSteps ||
      [evalInterval, sampleInterval, checkpointInterval].some((interval) =>
        this.#isMultiple(interval)
      );
  }

  #isMultiple(interval: number): boolean {
    return interval > 0 && this.#step % interval === 0;
  }

  async *#pause(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    const { maxSteps, checkpointInterval } = this.config;
    // What can be lost comes first.
    if (this.#step === maxSteps || this.#isMultiple(checkpointInterval)) {
      yield* this.#keep();
    }
    yield* this.#look(signal);
  }

  /** The evaluation and the sample that are due. */
  async *#look(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    this.#restored = this.#pausing;
    if (this.#pausing) return;
    const { maxSteps, evalInterval, sampleInterval } = this.config;
    const isLast = () => this.#step === maxSteps || this.#stopping;
    if (
      this.#evaluatedAt !== this.#step &&
      (isLast() || this.#isMultiple(evalInterval))
    ) {
      const evaluated = await this.#evaluate(signal);
      if (evaluated !== undefined) yield evaluated;
    }
    const { sample } = this.#extras;
    const { tokenizer } = this.#model;
    if (
      sample && tokenizer && !signal?.aborted &&
      performance.now() < this.#deadline + GRACE_MS &&
      this.#sampledAt !== this.#step &&
      (isLast() || this.#isMultiple(sampleInterval))
    ) {
      yield await this.#sample({ tokenizer, sample, signal });
    }
  }

  async #evaluate(
    signal: AbortSignal | undefined,
  ): Promise<EvalEvent | undefined> {
    const [until, guess] = [this.#deadline + GRACE_MS, this.#batchMs];
    try {
      const losses = await this.#meter.measure({ signal, until, guess });
      if (losses === undefined) return undefined;
      const step = this.#evaluatedAt = this.#step;
      return { event: "eval", step, ...losses };
    } catch (error) {
      if (signal?.aborted) return undefined;
      throw error;
    }
  }

  async #sample(
    { tokenizer, sample: { prompt, ...recipe }, signal }: {
      tokenizer: Tokenizer;
      sample: SampleRecipe;
      signal: AbortSignal | undefined;
    },
  ): Promise<SampleEvent> {
    const options = { ...recipe, signal };
    const pieces = generateText(this.#model, tokenizer, prompt, options);
    let text = "";
    for await (const piece of pieces) {
      text += piece;
      if (performance.now() > this.#deadline + GRACE_MS) break;
    }
    const step = this.#sampledAt = this.#step;
    return { event: "sample", step, prompt, text };
  }

  /** The checkpoint of this step; what the consumer does with it counts as its time. */
  async *#keep(): AsyncGenerator<CheckpointEvent> {
    const begun = performance.now();
    const bytes = await this.save();
    const step = this.#savedAt = this.#step;
    yield { event: "checkpoint", step, bytes };
    this.#savingMs = performance.now() - begun;
  }

  /**
   * Everything needed to go on, as the bytes of a checkpoint: weights, moments, step, configuration, tokenizer.
   *
   * @throws {RangeError} if a number in it is not finite, so that it takes no good checkpoint's place
   */
  async save(): Promise<Uint8Array> {
    await this.#trainStep.prepare();
    const { config } = this;
    return await encodeTraining(this.#model, { step: this.#step, config });
  }

  /**
   * Takes up the state that {@linkcode Trainer.save} wrote: weights, moments and step. With the same
   * dataset, options and backend, training goes on as if it had never stopped, bit for bit.
   *
   * @throws {RangeError} if the checkpoint has no training state, is of another optimizer or does not fit the model
   */
  async restore(checkpoint: Checkpoint): Promise<void> {
    const { layout } = internalsOf(this.#model);
    const { config } = this;
    const { step, stores } = decodeTraining(checkpoint, { layout, config });
    await this.#trainStep.prepare();
    for (const [name, values] of stores) this.#store(name).write(values);
    this.#model.tokenizer ??= checkpoint.tokenizer;
    this.#step = step;
    this.#restored = step > 0;
  }

  #store(name: string): DeviceBuffer {
    return internalsOf(this.#model).stores.get(name)!;
  }
}

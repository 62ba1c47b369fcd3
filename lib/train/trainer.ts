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
import { skippingNonFinite } from "./skips.ts";
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
import { Timetable } from "./timetable.ts";
import { updateRatios } from "./update_ratio.ts";
import { internalsOf } from "../model/internals.ts";

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
  #timetable = new Timetable(0, Infinity);
  #step = 0;
  /** How the run is to end at the next step. */
  #stopping: { readonly evaluate: boolean } | undefined;
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
    this.#stopping = { evaluate };
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
    const begun = performance.now();
    this.#timetable = new Timetable(begun, deadline);
    this.#stopping = undefined;
    yield* this.#extras.onNonFinite === "skip"
      ? skippingNonFinite(() => this.#loop(signal), (step) => this.#step = step)
      : this.#loop(signal);
    const { maxSteps } = this.config;
    const reason = this.#step >= maxSteps
      ? "done"
      : signal?.aborted
      ? "aborted"
      : "stopped";
    const seconds = (performance.now() - begun) / 1000;
    yield { event: "end", step: this.#step, reason, seconds };
  }

  /** What is due, then a step, until the run is over. */
  async *#loop(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    await this.#trainStep.prepare();
    this.#store("loss").write([0]);
    const metrics = await this.#trainStep.use(({ program }) =>
      new MetricsReader(program, this.config, this.#step)
    );
    while (true) {
      let before: Numbers | undefined;
      const isOver = this.#isOver(signal, metrics);
      if (isOver || this.#isDue()) {
        yield* this.#finished(metrics);
        yield* this.#due(isOver, signal);
        if (isOver) return;
        if (this.#isOver(signal, metrics)) continue; // the consumer stopped it
        before = await this.#evaluatedWeights();
        metrics.resume();
      }
      if (!await this.#take(signal, metrics)) continue;
      this.#step++;
      yield* await metrics.submitted();
      this.#timetable.measured(metrics, this.config);
      await this.#check(metrics);
      if (before !== undefined) {
        yield* this.#finished(metrics);
        yield await this.#update(before); // before the step's checkpoint, so a resumed run keeps it
      }
    }
  }

  #isOver(signal: AbortSignal | undefined, metrics: MetricsReader): boolean {
    return this.#step >= this.config.maxSteps ||
      this.#stopping !== undefined || signal?.aborted === true ||
      this.#timetable.isLate(metrics, this.#meter);
  }

  /** Queues a step; false if the run was over before it changed a weight. */
  #take(
    signal: AbortSignal | undefined,
    { msPerStep: lastMs }: MetricsReader,
  ): Promise<boolean> {
    const isOver = () => signal?.aborted === true || this.#timetable.isOver;
    return this.#trainStep.take(this.#step, { isOver, lastMs });
  }

  /** The steps that the device had yet to finish. */
  async *#finished(metrics: MetricsReader): AsyncGenerator<TrainEvent> {
    yield* await metrics.drain();
    await this.#check(metrics);
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

  /** Whether this step is one after which something may be due. */
  #isDue(): boolean {
    const { evalInterval, sampleInterval, checkpointInterval } = this.config;
    return [evalInterval, sampleInterval, checkpointInterval].some((interval) =>
      this.#isMultiple(interval)
    );
  }

  #isMultiple(interval: number): boolean {
    return interval > 0 && this.#step > 0 && this.#step % interval === 0;
  }

  /** The checkpoint, the evaluation and the sample that are due, or that end a run. */
  async *#due(
    isOver: boolean,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<TrainEvent> {
    const { checkpointInterval, evalInterval, sampleInterval } = this.config;
    const isDue = (interval: number, doneAt: number) =>
      doneAt !== this.#step && (isOver || this.#isMultiple(interval));
    // What can be lost comes first.
    if (isDue(checkpointInterval, this.#savedAt)) yield* this.#checkpoint();
    if (this.#stopping?.evaluate === false || signal?.aborted) return;
    if (isDue(evalInterval, this.#evaluatedAt)) {
      const evaluated = await this.#evaluate(signal);
      if (evaluated !== undefined) yield evaluated;
    }
    const { sample } = this.#extras;
    const { tokenizer } = this.#model;
    if (sample && tokenizer && isDue(sampleInterval, this.#sampledAt)) {
      if (this.#timetable.isPastGrace) return;
      yield await this.#sample({ tokenizer, sample, signal });
    }
  }

  /** The checkpoint of this step; what the consumer does with it counts as its time. */
  async *#checkpoint(): AsyncGenerator<CheckpointEvent> {
    const begun = performance.now();
    const bytes = await this.save();
    const step = this.#savedAt = this.#step;
    yield { event: "checkpoint", step, bytes };
    this.#timetable.savingMs = performance.now() - begun;
  }

  async #evaluate(
    signal: AbortSignal | undefined,
  ): Promise<EvalEvent | undefined> {
    const { graceEnd: until, batchMs: guess } = this.#timetable;
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
      if (this.#timetable.isPastGrace) break;
    }
    const step = this.#sampledAt = this.#step;
    return { event: "sample", step, prompt, text };
  }

  /** The weights, if they are those of an evaluation: the next step's update is measured against them. */
  async #evaluatedWeights(): Promise<Numbers | undefined> {
    return this.#isMultiple(this.config.evalInterval)
      ? await this.#store("params").read()
      : undefined;
  }

  async #update(before: Numbers): Promise<UpdateEvent> {
    const after = await this.#store("params").read();
    const { layout } = internalsOf(this.#model);
    const ratios = updateRatios(layout, { before, after });
    return { event: "update", step: this.#step, ratios };
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
    this.#step = this.#savedAt = step;
  }

  #store(name: string): DeviceBuffer {
    return internalsOf(this.#model).stores.get(name)!;
  }
}

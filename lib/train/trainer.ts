/**
 * The training loop, which takes batches and yields events. It does not wait for
 * single steps: the device keeps the metrics of recent steps, and the host reads
 * several at a time while later steps run.
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
 *   if (event.kind === "step") losses.push(event.loss);
 * }
 * assertEquals(losses.length, 5);
 * ```
 */
export class Trainer {
  /** Complete training configuration. */
  readonly config: TrainConfig;
  readonly #model: Model;
  readonly #dataset: Dataset;
  readonly #extras: TrainerExtras;
  readonly #meter: SplitLossMeter;
  readonly #trainStep: TrainStep;
  #timetable = new Timetable(0, Infinity);
  #step = 0;
  /** Options of a requested stop. */
  #stopping: { readonly evaluate: boolean } | undefined;
  /** Steps of the last checkpoint, evaluation and sample. */
  #savedAt = -1;
  #evaluatedAt = -1;
  #sampledAt = -1;

  /**
   * Creates a trainer and checks its options; nothing runs yet.
   *
   * @param options training configuration; omitted fields take their defaults
   * @throws {OutOfMemoryError} if the device lacks memory for a step, an evaluation or a sample
   * @throws {RangeError} if an option is out of range, model, dataset and tokenizer do not fit each other, or the
   * device cannot run the model
   * @throws {TypeError} if `sample` is given without a tokenizer
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

  /** Number of optimizer steps done, including queued steps. */
  get step(): number {
    return this.#step;
  }

  /**
   * Ends {@linkcode Trainer.run} after the current step, with a checkpoint, an evaluation and a sample.
   *
   * @param options.evaluate false to stop quickly, without evaluation and sample; if they are due at this step,
   * the next call of `run` starts with them
   */
  stop(
    { evaluate = true }: { readonly evaluate?: boolean | undefined } = {},
  ): void {
    this.#stopping = { evaluate };
  }

  /**
   * Trains until `maxSteps`, {@linkcode Trainer.stop}, the signal or the deadline.
   *
   * The signal discards the current step, unless the device has the whole step queued; a checkpoint of the last
   * complete step and the end event are still emitted. The deadline reserves time for the last checkpoint and the
   * last evaluation. The last evaluation measures fewer tokens if time is short, and is left out if one batch takes
   * too long. After {@linkcode Trainer.restore} the run starts with the evaluation and the sample that are due at
   * the restored step.
   *
   * While the consumer handles an eval, update, sample or checkpoint event, the model has the weights after `step` steps.
   *
   * @param options.deadline time at which the run must be over, on the clock of `performance.now()`; Infinity by default
   * @throws {NonFiniteError} if the loss or a gradient is not finite and `onNonFinite` is not `skip`, or if 10
   * consecutive steps are not finite
   * @throws {DeviceLostError} if the device is lost
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
    yield { kind: "end", step: this.#step, reason, seconds };
  }

  /** Repeats until the run is over: yields due checkpoints, evaluations and samples, then takes a step. */
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

  /** Waits for all queued steps and yields their events. */
  async *#finished(metrics: MetricsReader): AsyncGenerator<TrainEvent> {
    yield* await metrics.drain();
    await this.#check(metrics);
  }

  /** Throws if a step failed, and sets `step` to the last good step; the weights have not changed since. */
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

  /** Returns whether a checkpoint, an evaluation or a sample may be due after this step. */
  #isDue(): boolean {
    const { evalInterval, sampleInterval, checkpointInterval } = this.config;
    return [evalInterval, sampleInterval, checkpointInterval].some((interval) =>
      this.#isMultiple(interval)
    );
  }

  #isMultiple(interval: number): boolean {
    return interval > 0 && this.#step > 0 && this.#step % interval === 0;
  }

  /** Yields the checkpoint, the evaluation and the sample that are due or that end a run. */
  async *#due(
    isOver: boolean,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<TrainEvent> {
    const { checkpointInterval, evalInterval, sampleInterval } = this.config;
    const isDue = (interval: number, doneAt: number) =>
      doneAt !== this.#step && (isOver || this.#isMultiple(interval));
    // The checkpoint comes first: an evaluation or a sample may fail, and the state would be lost.
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

  /** Yields the checkpoint of this step; its measured duration includes the consumer's time to write it. */
  async *#checkpoint(): AsyncGenerator<CheckpointEvent> {
    const begun = performance.now();
    const bytes = await this.save();
    const step = this.#savedAt = this.#step;
    yield { kind: "checkpoint", step, bytes };
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
      return { kind: "eval", step, ...losses };
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
    return { kind: "sample", step, prompt, text };
  }

  /** Returns the weights if an evaluation is due at this step, for the update ratio of the next step; else undefined. */
  async #evaluatedWeights(): Promise<Numbers | undefined> {
    return this.#isMultiple(this.config.evalInterval)
      ? await this.#store("params").read()
      : undefined;
  }

  async #update(before: Numbers): Promise<UpdateEvent> {
    const after = await this.#store("params").read();
    const { layout } = internalsOf(this.#model);
    const ratios = updateRatios(layout, { before, after });
    return { kind: "update", step: this.#step, ratios };
  }

  /**
   * Encodes everything needed to resume as a checkpoint: weights, moments, step, configuration, tokenizer.
   *
   * @throws {RangeError} if a number is not finite, so that it never replaces a good checkpoint
   */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    await this.#trainStep.prepare();
    const { config } = this;
    return await encodeTraining(this.#model, { step: this.#step, config });
  }

  /**
   * Restores the state from {@linkcode Trainer.save}: weights, moments and step. With the same dataset,
   * options and backend, a resumed run gives the same bits as an uninterrupted one.
   *
   * @throws {RangeError} if the checkpoint has no training state, has another optimizer, or does not fit the model
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

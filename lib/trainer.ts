/**
 * The training loop: batches in, events out. It never waits for a single step:
 * the device keeps the metrics of recent steps, and they are read a few at a time
 * while later steps run.
 */

import type { DeviceBuffer, Numbers, Program } from "./backends/backend.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { type TrainConfig, trainConfig, type TrainOptions } from "./config.ts";
import type { Dataset } from "./dataset.ts";
import { firstNonFinite, type Inputs } from "./diagnosis.ts";
import { generateText } from "./generate.ts";
import type { Model } from "./language_model.ts";
import { breath, MetricsReader, NonFiniteError } from "./metrics.ts";
import { METRIC_SLOTS, momentsOf, scheduleAt } from "./optimizer.ts";
import { trainPlan } from "./plans.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  checkBatchShape,
  checkDataset,
  checkExtras,
  type SampleRecipe,
  type TrainerExtras,
} from "./trainer_extras.ts";
import { decodeTraining, encodeTraining } from "./training_state.ts";
import type {
  CheckpointEvent,
  EvalEvent,
  SampleEvent,
  TrainEvent,
  UpdateEvent,
} from "./events.ts";
import { updateRatios } from "./update_ratio.ts";

/** Steps on end that may be left out for not being finite. */
const MOST_SKIPS = 10;

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
  #program: Promise<Program> | undefined;
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
   * @throws {RangeError} if an option is out of range, or model, dataset and tokenizer do not fit each other
   * @throws {TypeError} if samples are asked for without a tokenizer
   */
  constructor(
    model: Model,
    dataset: Dataset,
    options: TrainOptions & TrainerExtras = {},
  ) {
    const { tokenizer = model.tokenizer, ...rest } = options;
    const { sample, onNonFinite, ...others } = rest;
    const { trainEvalBatches, charsPerToken, ...config } = others;
    const { batchSize = dataset.batchSize } = config;
    this.config = trainConfig({ ...config, batchSize });
    this.#model = model;
    this.#dataset = dataset;
    this.#extras = { sample, trainEvalBatches, charsPerToken, onNonFinite };
    checkDataset(dataset, this.config, model.config);
    checkExtras({ ...this.#extras, tokenizer }, model.config);
    model.tokenizer = tokenizer;
  }

  /** Optimizer steps done, those included that the device has yet to finish. */
  get step(): number {
    return this.#step;
  }

  /** Ends {@linkcode Trainer.run} after the step that is under way, with all that its last step would tell. */
  stop(): void {
    this.#stopping = true;
  }

  /**
   * Trains until `maxSteps` or {@linkcode Trainer.stop}, or until the signal: then the state is that after a
   * whole step (one whose micro-batches are under way is not taken), and a checkpoint and the end are still told. After {@linkcode Trainer.restore}
   * it begins with the evaluation and the sample that are due at the restored step.
   *
   * While the consumer holds an eval, update, sample or checkpoint event, the model is exactly as it was after `step` steps.
   *
   * @throws {NonFiniteError} when the loss or a gradient is not finite and `onNonFinite` is not `skip`, or
   * when that happens in 10 steps on end
   * @throws {DeviceLostError} when the device goes away
   */
  async *run(
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<TrainEvent, void> {
    const begun = performance.now();
    this.#stopping = false;
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
    if (reason !== "done" && this.#savedAt !== this.#step) {
      yield await this.#checkpoint();
    }
    if (reason === "stopped") yield* this.#look(signal);
    const seconds = (performance.now() - begun) / 1000;
    yield { event: "end", step: this.#step, reason, seconds };
  }

  /** Steps until the run is over. */
  async *#steps(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    const program = await this.#compiled();
    program.buffer("loss").write([0]);
    if (this.#restored) {
      this.#restored = false;
      yield* this.#look(signal);
    }
    const metrics = new MetricsReader(program, this.config, this.#step);
    while (!this.#isOver(signal)) {
      const before = await this.#evaluatedWeights();
      if (before !== undefined) metrics.resume();
      if (!await this.#submit(program, signal)) break;
      yield* await metrics.submitted();
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

  /** Throws if a step failed; `step` is then that of the weights, which the device has left alone since. */
  async #check(metrics: MetricsReader): Promise<void> {
    try {
      metrics.throwIfFailed();
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      const { step, loss, gradNorm } = error;
      this.#step = step - 1;
      const { plan } = await this.#compiled();
      const inputs = this.#inputs(this.#step);
      const first = await firstNonFinite(this.#model, plan, inputs);
      throw new NonFiniteError(step, loss, gradNorm, first);
    }
  }

  /** What the runs of a step read: one micro-batch after the other. */
  *#inputs(step: number): Generator<Inputs> {
    const { gradAccumulation, seed } = this.config;
    for (let micro = 0; micro < gradAccumulation; micro++) {
      const counter = step * gradAccumulation + micro;
      const key = [seed, counter, step % METRIC_SLOTS, 0];
      const { B, T, tokens, targets } = this.#dataset.batch(step, micro);
      checkBatchShape({ B, T }, this.#dataset);
      yield { tokens, targets, key };
    }
  }

  /** Queues one optimizer step; tells whether it did, as the signal can come between micro-batches. */
  async #submit(
    program: Program,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const { gradAccumulation } = this.config;
    program.buffer("schedule").write(scheduleAt(this.config, this.#step));
    let left = gradAccumulation;
    for (const inputs of this.#inputs(this.#step)) {
      for (const [name, values] of Object.entries(inputs)) {
        program.buffer(name).write(values);
      }
      const last = --left === 0;
      program.run(last ? ["gradient", "update"] : ["gradient"]);
      if (!last) await breath();
      if (!last && signal?.aborted) {
        // The step is not taken at all: nothing of it stays.
        this.#store("grads").write(new Float32Array(this.#model.layout.length));
        return false;
      }
    }
    this.#step++;
    return true;
  }

  /** The weights, if they are those of an evaluation: the next step's update is measured against them. */
  async #evaluatedWeights(): Promise<Numbers | undefined> {
    return this.#step > 0 && this.#isMultiple(this.config.evalInterval)
      ? await this.#store("params").read()
      : undefined;
  }

  /** Told before the checkpoint of its step, so that who resumes from there has it. */
  async #update(before: Numbers): Promise<UpdateEvent> {
    const after = await this.#store("params").read();
    const ratios = updateRatios(this.#model.layout, { before, after });
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
      yield await this.#checkpoint();
    }
    yield* this.#look(signal);
  }

  /** The evaluation and the sample that are due. */
  async *#look(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
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
      this.#sampledAt !== this.#step &&
      (isLast() || this.#isMultiple(sampleInterval))
    ) {
      yield await this.#sample({ tokenizer, sample, signal });
    }
  }

  async #evaluate(
    signal: AbortSignal | undefined,
  ): Promise<EvalEvent | undefined> {
    const { trainEvalBatches = 16, charsPerToken = 1 } = this.#extras;
    try {
      const valLoss = await this.#model.evaluate(
        this.#dataset.evalBatches("val"),
        { signal },
      );
      const trainLoss = await this.#model.evaluate(
        this.#dataset.evalBatches("train", { maxBatches: trainEvalBatches }),
        { signal },
      );
      const bitsPerChar = valLoss / Math.LN2 / charsPerToken;
      const step = this.#evaluatedAt = this.#step;
      return { event: "eval", step, trainLoss, valLoss, bitsPerChar };
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
    const text = (await Array.fromAsync(pieces)).join("");
    const step = this.#sampledAt = this.#step;
    return { event: "sample", step, prompt, text };
  }

  async #checkpoint(): Promise<CheckpointEvent> {
    const bytes = await this.save();
    const step = this.#savedAt = this.#step;
    return { event: "checkpoint", step, bytes };
  }

  /**
   * Everything needed to go on, as the bytes of a checkpoint: weights, moments, step, configuration, tokenizer.
   *
   * @throws {RangeError} if a number in it is not finite, so that it takes no good checkpoint's place
   */
  async save(): Promise<Uint8Array> {
    await this.#compiled(); // the moments exist from here on
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
    const { layout } = this.#model;
    const { config } = this;
    const { step, stores } = decodeTraining(checkpoint, { layout, config });
    await this.#compiled();
    for (const [name, values] of stores) this.#store(name).write(values);
    this.#model.tokenizer ??= checkpoint.tokenizer;
    this.#step = step;
    this.#restored = step > 0;
  }

  #store(name: string): DeviceBuffer {
    return this.#model.stores.get(name)!;
  }

  #compiled(): Promise<Program> {
    return this.#program ??= this.#compile();
  }

  async #compile(): Promise<Program> {
    const { batchSize: B, blockSize: T } = this.#dataset;
    const plan = trainPlan(this.#model.config, this.config, { B, T });
    const hadTrainer = this.#model.stores.has("m");
    const program = await this.#model.compile(plan);
    if (hadTrainer) {
      // The moments are those of another training, and belong to its steps.
      const zeros = new Float32Array(this.#model.layout.length);
      for (const name of ["grads", ...momentsOf(this.config)]) {
        this.#store(name).write(zeros);
      }
    }
    return program;
  }
}

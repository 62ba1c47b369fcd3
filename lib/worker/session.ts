/**
 * A model in a worker: trains, writes and saves as messages ask for, so that the page
 * stays responsive. Calls that need the model run between two training steps.
 */

import { type Backend, DeviceLostError } from "../backends/backend.ts";
import { type Device, openBackend } from "../backends/open.ts";
import {
  chooseDevice,
  type DeviceVerdict,
  textWork,
  trainingWork,
  type Work,
} from "../checks/device_choice.ts";
import { type ModelConfig, modelConfig } from "../config/model.ts";
import { presets } from "../config/presets.ts";
import { trainConfig } from "../config/train.ts";
import { type Checkpoint, decodeCheckpoint } from "../formats/checkpoint.ts";
import { attentionMaps } from "../model/attention_maps.ts";
import { Model } from "../model/model.ts";
import { refusal } from "../refusal.ts";
import { Dataset, trainSize } from "../text/dataset.ts";
import { NgramModel } from "../text/ngram.ts";
import { opening, promptIds } from "../text/opening.ts";
import { Sampler } from "../text/sampler.ts";
import { endOfText } from "../text/special.ts";
import { tokenText } from "../text/token_text.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import type { StepEvent, TrainEvent } from "../train/events.ts";
import { Trainer } from "../train/trainer.ts";
import type {
  Attention,
  Baseline,
  CallMessage,
  Opened,
  SessionCalls,
  SessionEvent,
  SessionMessage,
  SessionOptions,
  SessionPort,
  WriteRequest,
} from "./messages.ts";
import { newTokenizer, tokenizerOf } from "./tokenizers.ts";
import { WatchingSampler } from "./watching_sampler.ts";

/**
 * Serves a training session at a port: answers its calls and sends its events. See {@linkcode SessionClient}.
 *
 * @param port a worker's own global scope, or one end of a `MessageChannel`
 */
export function serveSession(port: SessionPort): void {
  const send = (message: SessionMessage, transfer: Transferable[] = []) =>
    port.postMessage(message, transfer);
  const session: SessionCalls = new Session((event) => send({ event }));
  port.onmessage = async ({ data }: MessageEvent<CallMessage>) => {
    const { call, name, argument } = data;
    try {
      const result = await session[name](argument as never);
      send({ call, result }, buffersOf(result));
    } catch (reason) {
      const { name, message, hint } = reason as Error & { hint?: string };
      send({ call, error: { name, message, hint } });
    }
  };
}

/** Returns the buffers of a result that need not be copied. */
function buffersOf(result: unknown): ArrayBuffer[] {
  if (result instanceof Uint8Array) return [result.buffer as ArrayBuffer];
  const { layers = [] } = Object(result) as Partial<Attention>;
  return layers.map(({ buffer }) => buffer);
}

/** Milliseconds between two `steps` events. */
const STEPS_MS = 50;

/** Most tokens in an answer to `attention`: more would be too small to see. */
const MOST_ATTENDED = 48;

/** State of an open session. */
interface Open {
  readonly backend: Backend;
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  /** Undefined if there is no text to train on. */
  readonly trainer: Trainer | undefined;
  /** Makes a trainer for a model that takes the place of this one. */
  readonly trainerFor: (model: Model) => Trainer | undefined;
}

/** The session behind a port. */
class Session implements SessionCalls {
  readonly #emit: (event: SessionEvent) => void;
  #current: Open | undefined;
  /** Work for the moment between two steps. */
  readonly #tasks: (() => Promise<void>)[] = [];
  #isWorking = false;
  #isTraining = false;
  /** Resolved when there is a task or training resumes. */
  #paused: PromiseWithResolvers<void> | undefined;
  #writing = new AbortController();
  /** Work to measure devices with after the first step; undefined if the device is chosen. */
  #undecided: Work | undefined;
  #verdicts: Record<string, DeviceVerdict> = {};
  /** Bytes of the last checkpoint, on a device that can be lost. */
  #kept: Uint8Array<ArrayBuffer> | undefined;
  /** Steps not yet emitted, and the time of the last emission. */
  #steps: StepEvent[] = [];
  #emittedAt = 0;

  constructor(emit: (event: SessionEvent) => void) {
    this.#emit = emit;
  }

  async open(options: SessionOptions): Promise<Opened> {
    if (this.#current !== undefined) {
      throw refusal(TypeError, "open session", "it is open already");
    }
    const checkpoint = options.checkpoint &&
      decodeCheckpoint(options.checkpoint);
    const preset = options.preset && presets[options.preset];
    const tokenizer = checkpoint
      ? tokenizerOf(checkpoint)
      : newTokenizer({ tokenizer: preset?.tokenizer, ...options });
    const train = trainConfig({
      ...checkpoint ? checkpoint.training?.config : preset?.train,
      ...options.train,
    });
    const { seed } = train;
    const { vocabSize } = tokenizer;
    const config = checkpoint?.config ??
      modelConfig({ ...preset?.model, ...options.model, vocabSize });
    const { blockSize } = config;
    const { device = "auto", threads, text, evalTokens } = options;
    const dataset = text === undefined
      ? undefined
      : new Dataset(tokenizer.encode(text), {
        ...{ blockSize, batchSize: train.batchSize, seed },
      });
    const { maxNewTokens, ...choice } = options.sample ?? {};
    const sample = options.sample && {
      prompt: opening(tokenizer),
      maxNewTokens,
      sampler: new Sampler({ seed, ...choice }),
    };
    const trainerFor = (model: Model) =>
      dataset &&
      new Trainer(model, dataset, { ...train, tokenizer, sample, evalTokens });
    this.#verdicts = { ...options.verdicts };
    this.#undecided = undefined;
    let chosen = device;
    if (device === "auto" && threads === undefined) {
      // Training begins on the CPU: the kernels of a GPU take seconds to compile.
      if (dataset) this.#undecided = trainingWork({ model: config, train });
      chosen = dataset
        ? "wasm"
        : await this.#choose(textWork(checkpoint!, { reads: true }));
    }
    const backend = await openBackend(chosen, { threads });
    try {
      const model = checkpoint
        ? await Model.load(checkpoint, { backend })
        : await Model.create(config, { backend, seed, tokenizer });
      const trainer = trainerFor(model);
      if (checkpoint?.training) await trainer?.restore(checkpoint);
      this.#current = { backend, model, tokenizer, trainer, trainerFor };
      await this.#keep();
    } catch (error) {
      this.#current = undefined;
      await backend[Symbol.asyncDispose]();
      throw error;
    }
    const { kind, description } = backend;
    const { model, trainer } = this.#current;
    return {
      device: { kind, description },
      parameters: model.parameterCount,
      model: model.config,
      train: trainer?.config,
      step: checkpoint?.training?.step ?? 0,
      tokenizer: tokenizer.toJSON(),
    };
  }

  async train(): Promise<void> {
    // After the work that was asked for before.
    await this.#between(() => {
      if (this.#isTraining) {
        throw refusal(TypeError, "train", "it is training already");
      }
      this.#isTraining = true;
    });
    try {
      for (let isOver = false; !isOver;) {
        const { backend, model, trainer } = this.#open;
        if (trainer === undefined) {
          throw refusal(
            TypeError,
            "train",
            "the session was opened without a text",
          );
        }
        try {
          isOver = await this.#run(trainer);
        } catch (error) {
          await this.#moveToCpu(error);
        }
        if (isOver) break;
        await model[Symbol.asyncDispose]();
        if (backend !== this.#open.backend) {
          await backend[Symbol.asyncDispose]();
        }
      }
    } finally {
      this.#isTraining = false;
      this.#tellSteps();
      await this.#work();
    }
  }

  pause(): void {
    this.#paused ??= Promise.withResolvers();
  }

  resume(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }

  setMask(mask: ModelConfig["mask"]): Promise<void> {
    return this.#between(async () => {
      const { backend, model, trainer } = this.#open;
      const checkpoint = decodeCheckpoint(await (trainer ?? model).save());
      const config = { ...checkpoint.config, mask };
      await this.#replace({ ...checkpoint, config }, backend);
      await this.#keep();
      // A model in training is disposed of when its training has ended.
      if (!this.#isTraining) await model[Symbol.asyncDispose]();
    });
  }

  save(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#between(() => {
      const { model, trainer } = this.#open;
      return (trainer ?? model).save();
    });
  }

  write(
    { prompt, maxNewTokens, candidates = 10, ...choice }: WriteRequest,
  ): Promise<void> {
    return this.#between(async () => {
      const { model, tokenizer } = this.#open;
      const { signal } = this.#writing = new AbortController();
      const ids = typeof prompt === "string"
        ? promptIds(tokenizer, prompt)
        : prompt;
      const end = endOfText(tokenizer);
      const text = (id: number) => tokenText(tokenizer, id);
      for (const id of ids) {
        const nothing = { probability: undefined, candidates: [] };
        this.#emit({ kind: "token", id, text: text(id), ...nothing });
      }
      const sampler = new WatchingSampler(choice);
      for await (
        const id of model.generate(ids, { sampler, maxNewTokens, signal })
      ) {
        const probabilities = sampler.probabilitiesOfLast;
        this.#emit({
          ...{
            kind: "token",
            id,
            text: text(id),
            probability: probabilities[id]!,
          },
          candidates: mostProbable(probabilities, candidates).map((id) => ({
            ...{ id, text: text(id), probability: probabilities[id]! },
          })),
        });
        if (id === end) break;
      }
    });
  }

  stopWriting(): void {
    this.#writing.abort();
  }

  attention(ids: readonly number[]): Promise<Attention> {
    return this.#between(async () => {
      const { model, tokenizer } = this.#open;
      const { attention, blockSize } = model.config;
      if (!attention) {
        throw refusal(RangeError, "map attention", "the model has none");
      }
      const last = ids.slice(-Math.min(blockSize, MOST_ATTENDED));
      const layers = await attentionMaps(model, Int32Array.from(last));
      return {
        tokens: last.map((id) => tokenText(tokenizer, id)),
        layers: layers.map((map) => Float32Array.from(map)),
      };
    });
  }

  close(): Promise<void> {
    return this.#between(async () => {
      const { model, backend } = this.#current ?? {};
      this.#current = undefined;
      await model?.[Symbol.asyncDispose]();
      await backend?.[Symbol.asyncDispose]();
    });
  }

  baselines(
    { text, tokenizer, orders }: Parameters<SessionCalls["baselines"]>[0],
  ): Baseline[] {
    const reader = Tokenizer.fromJSON(tokenizer);
    const { vocabSize } = reader;
    const tokens = reader.encode(text);
    const size = trainSize(tokens.length);
    return orders.map((order) => ({
      order,
      loss: NgramModel.fit(tokens.subarray(0, size), { order, vocabSize })
        .loss(tokens.subarray(size)),
    }));
  }

  get #open(): Open {
    if (this.#current !== undefined) return this.#current;
    throw refusal(TypeError, "use session", "it is not open");
  }

  /**
   * Runs a task between two steps of training, or after the tasks before it. If the GPU is lost meanwhile, the task is run
   * again on the CPU.
   */
  #between<Result>(task: () => Result | Promise<Result>): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const run = async () => await task();
    this.#tasks.push(() =>
      run().catch(async (error) => {
        await this.#moveToCpu(error);
        return await run();
      }).then(resolve, reject)
    );
    this.#paused?.resolve();
    if (!this.#isTraining) this.#work();
    return promise;
  }

  async #work(): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    for (let task; (task = this.#tasks.shift()) !== undefined;) await task();
    this.#isWorking = false;
  }

  /** Trains until the end of the run, or until the mask is replaced; returns whether it was the end. */
  async #run(trainer: Trainer): Promise<boolean> {
    for await (const event of trainer.run()) {
      this.#tell(event);
      if (event.kind === "step") await this.#decide();
      await this.#work();
      await this.#pause();
      if (this.#open.trainer !== trainer) return false;
    }
    return true;
  }

  /** Returns the faster device for a piece of work. */
  async #choose(work: Work): Promise<Device> {
    const verdicts = this.#verdicts;
    const { device, verdict } = await chooseDevice(work, {
      store: {
        get: (key) => Promise.resolve(verdicts[key]),
        set: async (key, verdict) => void (verdicts[key] = await verdict),
      },
      onMeasure: ({ description }) =>
        this.#emit({ kind: "measuring", description }),
    });
    if (verdict !== undefined) {
      this.#emit({ kind: "measured", unit: work.unit, verdict, verdicts });
    }
    return device;
  }

  /** Chooses the device after the first step, and continues there. */
  async #decide(): Promise<void> {
    const work = this.#undecided;
    if (work === undefined) return;
    this.#undecided = undefined;
    this.#tellSteps();
    const device = await this.#choose(work);
    if (device === "wasm") return;
    const bytes = await this.#open.trainer!.save();
    await this.#move(device, bytes, "it is faster");
    this.#kept = bytes;
  }

  /**
   * Moves to the CPU, with the state of the last checkpoint, if the error is the loss of a GPU.
   *
   * @throws the error, if it is another one
   */
  async #moveToCpu(error: unknown): Promise<void> {
    if (!(error instanceof DeviceLostError && this.#kept)) throw error;
    const lost = this.#open;
    const kept = this.#kept;
    this.#kept = undefined;
    this.#steps = []; // they are done again
    await this.#move("wasm", kept, error.message);
    await lost.backend[Symbol.asyncDispose]();
  }

  /** Continues on another device from a checkpoint. */
  async #move(
    device: Device,
    bytes: Uint8Array<ArrayBuffer>,
    reason: string,
  ): Promise<void> {
    const backend = await openBackend(device);
    try {
      await this.#replace(decodeCheckpoint(bytes), backend);
    } catch (error) {
      await backend[Symbol.asyncDispose]();
      throw error;
    }
    const { kind, description } = backend;
    this.#emit({
      ...{ kind: "moved", step: this.#open.trainer?.step ?? 0, reason },
      device: { kind, description },
    });
  }

  /** Opens a checkpoint in the place of the model. */
  async #replace(checkpoint: Checkpoint, backend: Backend): Promise<void> {
    const model = await Model.load(checkpoint, { backend });
    const trainer = this.#open.trainerFor(model);
    if (checkpoint.training) await trainer?.restore(checkpoint);
    this.#current = { ...this.#open, backend, model, trainer };
  }

  /** Keeps the weights and the state of training, in case that a GPU is lost. */
  async #keep(): Promise<void> {
    const { backend, model, trainer } = this.#open;
    this.#kept = backend.kind === "webgpu"
      ? await (trainer ?? model).save()
      : undefined;
  }

  /** Emits what a page needs of a training event. */
  #tell(event: TrainEvent): void {
    if (event.kind === "step") {
      this.#steps.push(event);
      if (performance.now() - this.#emittedAt > STEPS_MS) this.#tellSteps();
      return;
    }
    this.#tellSteps();
    if (event.kind === "checkpoint" && this.#kept) this.#kept = event.bytes;
    if (event.kind === "eval" || event.kind === "end") this.#emit(event);
    if (event.kind === "sample") {
      const { kind, step, prompt, text } = event;
      this.#emit({ kind, step, text: prompt + text });
    }
  }

  #tellSteps(): void {
    if (this.#steps.length === 0) return;
    this.#emit({ kind: "steps", steps: this.#steps });
    this.#steps = [];
    this.#emittedAt = performance.now();
  }

  /** Waits while training is paused, and does the work that is asked for meanwhile. */
  async #pause(): Promise<void> {
    while (this.#paused !== undefined) {
      this.#tellSteps();
      await this.#paused.promise;
      this.#paused &&= Promise.withResolvers();
      await this.#work();
    }
  }
}

/** Returns the ids of the largest probabilities, largest first. */
function mostProbable(probabilities: Float64Array, count: number): number[] {
  return Array.from(probabilities.keys())
    .sort((a, b) => probabilities[b]! - probabilities[a]!)
    .slice(0, count);
}

/** Where exhibits are made: a text, a device, and the models that were trained here. */

import type { Backend } from "../../backends/backend.ts";
import { type Mistake, plant } from "../../checks/mistakes.ts";
import { ORDER, trainedChecks } from "../../checks/trained.ts";
import type { Verdict } from "../../checks/verdict.ts";
import { type ModelConfig, modelConfig } from "../../config/model.ts";
import { type TrainConfig, trainConfig } from "../../config/train.ts";
import { Dataset, type DatasetOptions } from "../../text/dataset.ts";
import { Model } from "../../model/model.ts";
import { NgramModel } from "../../text/ngram.ts";
import { type Preset, presets } from "../../config/presets.ts";
import { Sampler } from "../../text/sampler.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { Trainer } from "../../train/trainer.ts";
import type { Tokens } from "../../text/tokens.ts";

/** The text, the device and the effort. */
export interface RoomOptions {
  readonly backend: Backend;
  readonly tokenizer: Tokenizer;
  /** The whole text's; the last tenth is held out. */
  readonly tokens: Tokens;
  /** Seeds weights, batches and texts. */
  readonly seed: number;
  /** The architecture, in place of {@linkcode recipe}'s. */
  readonly model?: Partial<Omit<ModelConfig, "vocabSize">>;
  /** Training steps; 600 if left out. */
  readonly steps?: number;
  /** Tokens, at least, that a model writes to be judged; 8,000 if left out. */
  readonly written?: number;
  readonly signal?: AbortSignal;
  /** Called after each step, with what is being trained. */
  readonly onStep?: (name: string, step: number, of: number) => void;
}

/** Steps that a training has, unless the room says otherwise. */
const STEPS = 600;

/** Tokens that a model writes to be judged, unless the room says otherwise. */
const WRITTEN = 8000;

/** Tokens of the prompt, and of what is shown of a text. */
const PROMPT = 24;
const SAMPLE = 200;

/** What is trained unless an exhibit needs something else: the preset `default`, but smaller and for a tenth of its steps. */
export const recipe: Pick<Preset, "model" | "train"> = {
  model: {
    ...presets.default.model,
    nLayer: 2,
    blockSize: 64,
    qkNorm: false,
  },
  train: { ...presets.default.train, maxSteps: STEPS },
};

/** How a training differs from {@linkcode recipe}. */
export interface Changes {
  readonly model?: Partial<ModelConfig>;
  readonly train?: Partial<TrainConfig>;
  readonly mistake?: Mistake;
  /** Makes the dataset; the share of the text that is trained on is the caller's choice too. */
  readonly dataset?: (tokens: Tokens, options: DatasetOptions) => Dataset;
}

/** A model that was trained here. */
export interface Specimen {
  readonly model: Model;
  readonly dataset: Dataset;
  /** What each step told: the loss of its batch and the norm of its gradient. */
  readonly steps: readonly { readonly loss: number; readonly norm: number }[];
  /** What the trainer told at the end of both splits, in nats per token. */
  readonly trainLoss: number;
  readonly valLoss: number;
}

/** Trains models, each once, and keeps them until it is disposed of. */
export class Room implements AsyncDisposable {
  readonly backend: Backend;
  readonly tokenizer: Tokenizer;
  /** What is trained on, and what is held out, unless an exhibit cuts otherwise. */
  readonly training: Tokens;
  readonly heldOut: Tokens;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
  readonly #options: RoomOptions;
  readonly #specimens = new Map<string, Promise<Specimen>>();
  #scorer: NgramModel | undefined;
  readonly #verdicts = new Map<Model, Promise<Map<string, Verdict>>>();

  constructor(options: RoomOptions) {
    const { backend, tokenizer, tokens, seed, signal } = options;
    this.backend = backend;
    this.tokenizer = tokenizer;
    const size = Math.floor(0.9 * tokens.length);
    this.training = tokens.subarray(0, size);
    this.heldOut = tokens.subarray(size);
    this.seed = seed;
    this.signal = signal;
    this.#options = options;
  }

  /** What is trained, in words. */
  describe({ model, dataset, steps }: Specimen): string {
    const { batchSize, blockSize } = dataset;
    return `${
      model.parameterCount.toLocaleString("en")
    } parameters, ${steps.length} steps of ${batchSize} x ${blockSize} tokens, seed ${this.seed}`;
  }

  /** Training steps. */
  get steps(): number {
    return this.#options.steps ?? STEPS;
  }

  /** Tokens, at least, that a model writes to be judged. */
  get written(): number {
    return this.#options.written ?? WRITTEN;
  }

  /** The 5-gram model of the training text. */
  get scorer(): NgramModel {
    const { signal, tokenizer: { vocabSize } } = this;
    return this.#scorer ??= NgramModel.fit(this.training, {
      order: ORDER,
      vocabSize,
      signal,
    });
  }

  /** The model without a mistake. */
  right(): Promise<Specimen> {
    return this.train("right", {});
  }

  /**
   * Trains a model, or gives the one of that name that was trained before.
   *
   * @throws the signal's reason if it is aborted
   */
  train(name: string, changes: Changes): Promise<Specimen> {
    let specimen = this.#specimens.get(name);
    if (specimen === undefined) {
      specimen = this.#train(name, changes);
      this.#specimens.set(name, specimen);
    }
    return specimen;
  }

  async #train(name: string, changes: Changes): Promise<Specimen> {
    const { seed, signal, tokenizer: { vocabSize } } = this;
    const { tokens, onStep } = this.#options;
    const config = modelConfig({
      ...recipe.model,
      ...this.#options.model,
      ...changes.model,
      vocabSize,
    });
    const train = trainConfig({
      ...recipe.train,
      maxSteps: this.steps,
      ...changes.train,
      seed,
      evalInterval: 0,
      sampleInterval: 0,
      checkpointInterval: 0,
    });
    const { blockSize } = config;
    const { dataset: make = plainDataset, mistake } = changes;
    const { batchSize } = train;
    const dataset = make(tokens, { blockSize, batchSize, seed });
    const backend = mistake === undefined
      ? this.backend
      : plant(mistake, this.backend);
    const model = await Model.create(config, { backend, seed });
    const steps: { loss: number; norm: number }[] = [];
    let [trainLoss, valLoss] = [NaN, NaN];
    const whole = { evalTokens: Infinity };
    const trainer = new Trainer(model, dataset, { ...train, ...whole });
    for await (const event of trainer.run(signal ? { signal } : {})) {
      if (event.event === "step") {
        steps.push({ loss: event.loss, norm: event.gradNorm });
        onStep?.(name, event.step, train.maxSteps);
      } else if (event.event === "eval") {
        ({ trainLoss, valLoss } = event);
      }
    }
    signal?.throwIfAborted();
    return { model, dataset, steps, trainLoss, valLoss };
  }

  /** The verdicts on what a model sees and writes, by `group: check`; all but that on copying. */
  verdicts(model: Model): Promise<Map<string, Verdict>> {
    let verdicts = this.#verdicts.get(model);
    if (verdicts === undefined) {
      verdicts = this.#judge(model);
      this.#verdicts.set(model, verdicts);
    }
    return verdicts;
  }

  async #judge(model: Model): Promise<Map<string, Verdict>> {
    const { tokenizer, training, heldOut, signal } = this;
    const groups = trainedChecks({
      ...{ model, tokenizer, training, heldOut },
      tokens: this.written,
      scorer: this.scorer,
      ...(signal && { signal }),
    });
    const verdicts = new Map<string, Verdict>();
    for (const { name, run } of groups) {
      for await (const verdict of run()) {
        verdicts.set(`${name}: ${verdict.check}`, verdict);
        if (verdict.check === "free running") break;
      }
    }
    return verdicts;
  }

  /** What texts continue: the beginning of what is held out. */
  get prompt(): Int32Array {
    return Int32Array.from(this.heldOut.subarray(0, PROMPT));
  }

  /** What a model writes after the prompt. */
  async sample(
    model: Model,
    sampler: Sampler = new Sampler({ temperature: 0.8, seed: this.seed }),
  ): Promise<string> {
    const ids = model.generate(this.prompt, {
      sampler,
      maxNewTokens: SAMPLE,
      ...(this.signal && { signal: this.signal }),
    });
    return this.tokenizer.decode(await Array.fromAsync(ids));
  }

  /** Frees the models. The backend stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const specimen of await Promise.allSettled(this.#specimens.values())) {
      if (specimen.status === "fulfilled") {
        await specimen.value.model[Symbol.asyncDispose]();
      }
    }
  }
}

function plainDataset(tokens: Tokens, options: DatasetOptions): Dataset {
  return new Dataset(tokens, options);
}

/** The mean loss that the last twentieth of the steps told. */
export function lastLosses({ steps }: Specimen): number {
  const last = steps.slice(-Math.ceil(steps.length / 20));
  return last.reduce((sum, { loss }) => sum + loss, 0) / last.length;
}

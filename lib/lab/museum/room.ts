/** The room that exhibits are made in: a text, a device, and the models trained on them. */

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
import { count } from "../../report/numbers.ts";
import { meanOf } from "../statistics.ts";
import { splitsOf } from "../trial.ts";

/** The text, the device and the effort. */
export interface RoomOptions {
  readonly backend: Backend;
  readonly tokenizer: Tokenizer;
  /** Tokens of the whole text; the last tenth is held out. */
  readonly tokens: Tokens;
  /** The seed of weights, batches and texts. */
  readonly seed: number;
  /** The architecture, in place of {@linkcode recipe}'s. */
  readonly model?: Partial<Omit<ModelConfig, "vocabSize">>;
  /** Training steps; 600 if left out. */
  readonly steps?: number;
  /** Minimum number of tokens that a model writes for judging; 8,000 if left out. */
  readonly written?: number;
  readonly signal?: AbortSignal;
  /** Called after each step, with the name of the model in training. */
  readonly onStep?: (name: string, step: number, of: number) => void;
}

/** Default number of training steps. */
const STEPS = 600;

/** Default for the minimum number of tokens that a model writes for judging. */
const WRITTEN = 8000;

/** Tokens of the prompt, and of the part of a text that is shown. */
const PROMPT = 24;
const SAMPLE = 200;

/** The default training of an exhibit: the preset `default`, but smaller and for a tenth of its steps. */
export const recipe: Pick<Preset, "model" | "train"> = {
  model: {
    ...presets.default.model,
    nLayer: 2,
    blockSize: 64,
    qkNorm: false,
  },
  train: { ...presets.default.train, maxSteps: STEPS },
};

/** Differences of a training from {@linkcode recipe}. */
export interface Changes {
  readonly model?: Partial<ModelConfig>;
  readonly train?: Partial<TrainConfig>;
  readonly mistake?: Mistake;
  /** Makes the dataset; this function also chooses the share of the text that is trained on. */
  readonly dataset?: (tokens: Tokens, options: DatasetOptions) => Dataset;
}

/** A model trained in a room. */
export interface Specimen {
  readonly model: Model;
  readonly dataset: Dataset;
  /** The loss of each step's batch and the norm of its gradient. */
  readonly steps: readonly { readonly loss: number; readonly norm: number }[];
  /** The trainer's losses on both splits after the last step, in nats per token. */
  readonly trainLoss: number;
  readonly valLoss: number;
}

/** Trains models, each once, and keeps them until the room is disposed of. */
export class Room implements AsyncDisposable {
  readonly backend: Backend;
  readonly tokenizer: Tokenizer;
  /** The training text and the held-out text, unless an exhibit cuts the text elsewhere. */
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
    ({ training: this.training, heldOut: this.heldOut } = splitsOf(tokens));
    this.seed = seed;
    this.signal = signal;
    this.#options = options;
  }

  /** Describes a training in words. */
  describe({ model, dataset, steps }: Specimen): string {
    const { batchSize, blockSize } = dataset;
    return `${
      count(model.parameterCount)
    } parameters, ${steps.length} steps of ${batchSize} x ${blockSize} tokens, seed ${this.seed}`;
  }

  /** Number of training steps. */
  get steps(): number {
    return this.#options.steps ?? STEPS;
  }

  /** Minimum number of tokens that a model writes for judging. */
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

  /** Trains the model without a mistake. */
  right(): Promise<Specimen> {
    return this.train("right", {});
  }

  /**
   * Trains a model, or returns the one of that name that was trained before.
   *
   * @throws the signal's reason if it is aborted
   */
  train(name: string, changes: Changes): Promise<Specimen> {
    const specimen = this.#specimens.get(name) ?? this.#train(name, changes);
    this.#specimens.set(name, specimen);
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
    const { dataset: make, mistake } = changes;
    const options = { blockSize, batchSize: train.batchSize, seed };
    const dataset = make?.(tokens, options) ?? new Dataset(tokens, options);
    const backend = mistake === undefined
      ? this.backend
      : plant(mistake, this.backend);
    const model = await Model.create(config, { backend, seed });
    const steps: { loss: number; norm: number }[] = [];
    let [trainLoss, valLoss] = [NaN, NaN];
    const whole = { evalTokens: Infinity };
    const trainer = new Trainer(model, dataset, { ...train, ...whole });
    for await (const event of trainer.run({ signal })) {
      if (event.kind === "step") {
        steps.push({ loss: event.loss, norm: event.gradNorm });
        onStep?.(name, event.step, train.maxSteps);
      } else if (event.kind === "eval") {
        ({ trainLoss, valLoss } = event);
      }
    }
    signal?.throwIfAborted();
    return { model, dataset, steps, trainLoss, valLoss };
  }

  /** Returns the verdicts on a model's mask and texts, by `group: check`; the check for copying is left out. */
  verdicts(model: Model): Promise<Map<string, Verdict>> {
    const verdicts = this.#verdicts.get(model) ?? this.#judge(model);
    this.#verdicts.set(model, verdicts);
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

  /** The prompt of all samples: the beginning of the held-out text. */
  get prompt(): Int32Array {
    return Int32Array.from(this.heldOut.subarray(0, PROMPT));
  }

  /** Returns the text that a model writes after the prompt. */
  async sample(
    model: Model,
    sampler: Sampler = new Sampler({ temperature: 0.8, seed: this.seed }),
  ): Promise<string> {
    const ids = model.generate(this.prompt, {
      sampler,
      maxNewTokens: SAMPLE,
      signal: this.signal,
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

/** Returns the mean loss of the last twentieth of the steps. */
export function lastLosses({ steps }: Specimen): number {
  const last = steps.slice(-Math.ceil(steps.length / 20));
  return meanOf(last.map(({ loss }) => loss));
}

/**
 * A model with its weights on a device: made, loaded, run, saved. The network
 * itself is described in `model.ts`, its losses are `evaluator.ts`, training is
 * `trainer.ts`, text is `generate.ts`.
 */

import { type Backend, executorOf, type Numbers } from "../backends/backend.ts";
import {
  type Device,
  type DeviceOptions,
  openBackend,
} from "../backends/open.ts";
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
} from "../formats/checkpoint.ts";
import {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
} from "../config/model.ts";
import type { BatchShape, EvalBatch } from "../text/dataset.ts";
import { type EvaluateOptions, Evaluator } from "./evaluate.ts";
import {
  generate,
  generateBatch,
  type GenerateOptions,
  generateText,
  type WriteOptions,
} from "./generate.ts";
import type { ParameterLayout } from "../graph/layout.ts";
import { ModelInternals } from "./internals.ts";
import {
  checkCount,
  flatParameters,
  flopsPerToken,
  initialParameters,
  readParameters,
} from "./parameters.ts";
import { parameterLayout } from "./plans.ts";
import { ropeTable, sinusoidalTable } from "./positions.ts";
import type { TensorData } from "../formats/safetensors.ts";
import { Sampler } from "../text/sampler.ts";
import { checkVocabulary, type Tokenizer } from "../text/tokenizer.ts";

/** Where a model lives and how it starts. */
export interface ModelPlacement extends DeviceOptions {
  /** The device to open; `auto` if left out. The model closes it. */
  readonly device?: Device | undefined;
  /** A backend that is open already, in place of `device`. The model leaves it open. */
  readonly backend?: Backend | undefined;
}

/** Where a new model lives, and what it starts with. */
export interface CreateOptions extends ModelPlacement {
  /** Chooses the initial weights; an integer in [0, 2^32), 1 if left out. */
  readonly seed?: number | undefined;
  /** What the model's ids mean; see {@linkcode Model.tokenizer}. */
  readonly tokenizer?: Tokenizer | undefined;
}

/**
 * A GPT-style language model.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Model, Tokenizer } from "@lm/core";
 *
 * const tokenizer = Tokenizer.ascii();
 * await using model = await Model.create(
 *   { vocabSize: tokenizer.vocabSize, blockSize: 16, nLayer: 1, nHead: 2, nEmbd: 16 },
 *   { device: "reference", seed: 1, tokenizer },
 * );
 * let text = "";
 * for await (const piece of model.write("To be", { seed: 7, maxNewTokens: 4 })) text += piece;
 * assertEquals(text.length, 4);
 * ```
 */
export class Model implements AsyncDisposable {
  /** What the model is. */
  readonly config: ModelConfig;
  /** What computes it. */
  readonly backend: Backend;
  readonly #internals: ModelInternals;
  readonly #ownsBackend: boolean;
  readonly #evaluator: Evaluator;
  #tokenizer: Tokenizer | undefined;

  private constructor(
    config: ModelConfig,
    backend: Backend,
    { layout, ownsBackend }: { layout: ParameterLayout; ownsBackend: boolean },
  ) {
    this.config = config;
    this.backend = backend;
    this.#internals = new ModelInternals(this, executorOf(backend), layout);
    this.#ownsBackend = ownsBackend;
    this.#evaluator = new Evaluator(this);
  }

  /**
   * Makes a model with random weights.
   *
   * @param options the architecture; what is left out has its default
   * @param start where it lives, what chooses its weights, and its tokenizer
   * @throws {RangeError} if the architecture is impossible, or the tokenizer's size is not `vocabSize`
   * @throws {NoAdapterError} if the device cannot be opened
   * @throws {OutOfMemoryError} if it lacks the memory for the weights
   */
  static async create(
    options: ModelOptions,
    { seed = 1, tokenizer, ...placement }: CreateOptions = {},
  ): Promise<Model> {
    const config = modelConfig(options);
    const layout = parameterLayout(config);
    return await Model.#place({ config, tokenizer }, {
      layout,
      values: () => initialParameters(layout, seed),
      placement,
    });
  }

  /**
   * Loads a model, with its tokenizer, from a checkpoint or from one's bytes.
   *
   * @throws {SyntaxError} if the bytes are not a checkpoint
   * @throws {RangeError} if the tensors do not fit the configuration
   * @throws {OutOfMemoryError} if the device lacks the memory for them
   */
  static async load(
    source: Uint8Array | Checkpoint,
    placement: ModelPlacement = {},
  ): Promise<Model> {
    const { config, tensors, tokenizer } = source instanceof Uint8Array
      ? decodeCheckpoint(source)
      : source;
    const layout = parameterLayout(config);
    checkCount(layout, tensors);
    const values = flatParameters(layout, { tensors });
    return await Model.#place({ config, tokenizer }, {
      layout,
      values: () => values,
      placement,
    });
  }

  static async #place(
    { config, tokenizer }: Pick<Checkpoint, "config" | "tokenizer">,
    { layout, values, placement: { device, threads, backend } }: {
      layout: ParameterLayout;
      values: () => Float32Array | Float64Array;
      placement: ModelPlacement;
    },
  ): Promise<Model> {
    if (tokenizer) checkVocabulary("create Model", tokenizer, config);
    const opened = backend ?? await openBackend(device, { threads });
    const ownsBackend = backend === undefined;
    const model = new Model(config, opened, { layout, ownsBackend });
    model.#tokenizer = tokenizer;
    try {
      await model.#fill(values);
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
    return model;
  }

  /** Makes the stores that a model has from the beginning. */
  async #fill(parameters: () => Float32Array | Float64Array): Promise<void> {
    const internals = this.#internals;
    // There is room for them before they are drawn, which may take long.
    const store = await internals.store("params", internals.layout.length);
    store.write(parameters());
    const { blockSize, nEmbd, nHead, position } = this.config;
    const fill = async (name: string, table: Float32Array | Float64Array) =>
      (await internals.store(name, table.length)).write(table);
    if (position === "sinusoidal") {
      await fill("sinusoidal", sinusoidalTable(blockSize, nEmbd));
    } else if (position === "rope" || position === "rope-half") {
      await fill("rope", ropeTable(blockSize, nEmbd / nHead));
    }
  }

  /**
   * What the model's ids mean; undefined if nobody said. {@linkcode Model.save} stores it, {@linkcode Model.load}
   * brings it back, and a {@linkcode Trainer} that is given one sets it.
   */
  get tokenizer(): Tokenizer | undefined {
    return this.#tokenizer;
  }

  /** @throws {RangeError} if the tokenizer's size is not the model's `vocabSize` */
  set tokenizer(tokenizer: Tokenizer | undefined) {
    if (tokenizer) checkVocabulary("set tokenizer", tokenizer, this.config);
    this.#tokenizer = tokenizer;
  }

  /** Trainable numbers. */
  get parameterCount(): number {
    return this.#internals.layout.count;
  }

  /**
   * Floating point operations to train on one token, by the rule of PaLM
   * (arXiv 2204.02311, appendix B): 6 for each number in a matrix that the token
   * is multiplied with, and 12·C·T for each layer's attention.
   */
  get flopsPerToken(): number {
    return flopsPerToken(this.config, this.#internals.layout);
  }

  /**
   * Logits after every token.
   *
   * @param tokens (B, T), row-major ids
   * @param shape B and T, T at most `blockSize`
   * @returns (B, T, V), row-major
   * @throws {RangeError} if the ids are not (B, T) or out of range
   */
  forward(tokens: Int32Array, shape: BatchShape): Promise<Numbers> {
    return this.#evaluator.forward(tokens, shape);
  }

  /**
   * The mean loss of batches: plain cross-entropy in nats per token, without
   * label smoothing and dropout.
   *
   * @param batches as {@linkcode Dataset.evalBatches} gives them, each with its own B and T. With a T below
   * `blockSize` the result is the loss of a model that sees at most T tokens
   * @throws {RangeError} if there is nothing to predict, a T is above `blockSize`, or a batch is not (B, T) or has ids out of range
   */
  evaluate(
    batches: Iterable<EvalBatch>,
    options: EvaluateOptions = {},
  ): Promise<number> {
    return this.#evaluator.evaluate(batches, options);
  }

  /**
   * Continues a prompt, one id at a time; see {@linkcode GenerateOptions}.
   *
   * @param prompt ids, at least one
   * @throws {RangeError} if the prompt is empty or has an id that the model does not know
   */
  generate(
    prompt: ArrayLike<number>,
    options: GenerateOptions = {},
  ): AsyncGenerator<number, void> {
    return generate(this, prompt, options);
  }

  /**
   * Continues several prompts of any lengths side by side; rows do not disturb each other.
   *
   * @returns one id for each row at a time, shape (rows)
   */
  generateBatch(
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions = {},
  ): AsyncGenerator<Int32Array, void> {
    return generateBatch(this, prompts, options);
  }

  /**
   * Continues a text, piece by piece as it is generated; the prompt is not repeated. Breaking off the
   * iteration, or cancelling a stream made of it, ends the generation and frees its memory.
   *
   * @param prompt the text to continue, at least one character
   * @param options how tokens are chosen, as for {@linkcode Sampler}, and when the text ends
   * @throws {TypeError} if the model has no {@linkcode Model.tokenizer}
   * @throws {RangeError} if the prompt is empty or has a character that the tokenizer does not know, or an option is out of range
   *
   * @example The answer of a web server
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Model, Tokenizer } from "@lm/core";
   *
   * await using model = await Model.create(
   *   { vocabSize: 128, blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
   *   { device: "reference", tokenizer: Tokenizer.ascii() },
   * );
   * const pieces = model.write("ROMEO:", { temperature: 0.8, topK: 10, maxNewTokens: 20 });
   * const bytes = ReadableStream.from(pieces).pipeThrough(new TextEncoderStream());
   * const response = new Response(bytes, { headers: { "content-type": "text/plain; charset=utf-8" } });
   * assertEquals((await response.text()).length, 20);
   * ```
   */
  write(
    prompt: string,
    options: WriteOptions = {},
  ): AsyncGenerator<string, void> {
    const tokenizer = this.#tokenizer;
    if (tokenizer === undefined) {
      throw new TypeError(
        "Cannot write: the model has no tokenizer\n" +
          "hint: give one to Model.create or set model.tokenizer; generate takes ids instead of text",
      );
    }
    const sampler = new Sampler(options);
    return generateText(this, tokenizer, prompt, { ...options, sampler });
  }

  /** The parameters as they are now, by name. */
  async parameters(): Promise<Map<string, TensorData>> {
    return await readParameters(
      this.#internals.stores.get("params")!,
      this.#internals.layout,
    );
  }

  /**
   * Replaces all parameters.
   *
   * @throws {RangeError} if one is missing or has another shape
   */
  setParameters(tensors: ReadonlyMap<string, TensorData>): void {
    const values = flatParameters(this.#internals.layout, { tensors });
    this.#internals.stores.get("params")!.write(values);
  }

  /**
   * Returns the model as the bytes of a checkpoint: safetensors, with configuration and tokenizer in its metadata.
   *
   * @param options.tokenizer stored in place of {@linkcode Model.tokenizer}
   * @throws {RangeError} if the tokenizer's size is not the model's `vocabSize`
   */
  async save(
    { tokenizer = this.#tokenizer }: {
      readonly tokenizer?: Tokenizer | undefined;
    } = {},
  ): Promise<Uint8Array> {
    const tensors = await this.parameters();
    return encodeCheckpoint({ config: this.config, tensors, tokenizer });
  }

  /** Frees the model's memory, and the device if the model opened it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#internals.dispose();
    if (this.#ownsBackend) await this.backend[Symbol.asyncDispose]();
  }
}

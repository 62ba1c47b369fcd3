/**
 * A model with its weights on a device: creates, loads, runs and saves it. The
 * network is in `network.ts`, evaluation in `evaluate.ts`, text generation in
 * `generate.ts`, training in `train/trainer.ts`.
 */

import {
  type Backend,
  type DeviceBuffer,
  executorOf,
  type Numbers,
} from "../backends/backend.ts";
import {
  type Device,
  type DeviceOptions,
  openBackend,
} from "../backends/open.ts";
import {
  type Checkpoint,
  type CheckpointFile,
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
  checkParameters,
  flatParameters,
  flopsPerToken,
  initialParameters,
  readParameters,
  writeParameters,
} from "./parameters.ts";
import { parameterLayout } from "./plans.ts";
import { positionTables } from "./positions.ts";
import { checkWithin, word } from "../range.ts";
import type { TensorData } from "../formats/safetensors.ts";
import { Sampler } from "../text/sampler.ts";
import { checkVocabulary, type Tokenizer } from "../text/tokenizer.ts";
import { refusal } from "../refusal.ts";

/** Device of a model. */
export interface ModelPlacement extends DeviceOptions {
  /** Device to open; `auto` by default. The model closes it. */
  readonly device?: Device | undefined;
  /** Open backend to use in place of `device`. The model does not close it. */
  readonly backend?: Backend | undefined;
}

/** Options of {@linkcode Model.create}. */
export interface CreateOptions extends ModelPlacement {
  /** Seed of the initial weights, an integer in [0, 2^32); 1 by default. */
  readonly seed?: number | undefined;
  /** Tokenizer of the model; see {@linkcode Model.tokenizer}. */
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
  /** Architecture of the model. */
  readonly config: ModelConfig;
  /** Backend that runs the model. */
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
    this.#evaluator = new Evaluator(this.#internals);
  }

  /**
   * Creates a model with random weights.
   *
   * @param options the architecture; omitted fields take their defaults
   * @param start the device, the seed of the weights, and the tokenizer
   * @throws {RangeError} if the architecture or the seed is invalid, or the tokenizer's size is not `vocabSize`
   * @throws {NoAdapterError} if the device cannot be opened
   * @throws {OutOfMemoryError} if the device lacks memory for the weights
   */
  static async create(
    options: ModelOptions,
    { seed = 1, tokenizer, ...placement }: CreateOptions = {},
  ): Promise<Model> {
    const config = modelConfig(options);
    checkWithin(word, "create Model", { seed });
    const layout = parameterLayout(config);
    return await Model.#place({ config, tokenizer }, {
      layout,
      fill: (store) => store.write(initialParameters(layout, seed)),
      placement,
    });
  }

  /**
   * Loads a model and its tokenizer from a checkpoint, the bytes of a checkpoint, or an open file, which is read in
   * pieces.
   *
   * @throws {SyntaxError} if the bytes are not a checkpoint
   * @throws {RangeError} if the tensors do not fit the configuration
   * @throws {OutOfMemoryError} if the device lacks memory for the tensors
   */
  static async load(
    source: Uint8Array | Checkpoint | CheckpointFile,
    placement: ModelPlacement = {},
  ): Promise<Model> {
    const checkpoint = source instanceof Uint8Array
      ? decodeCheckpoint(source)
      : source;
    const isFile = "readTensors" in checkpoint;
    const tensors = isFile ? checkpoint.infos : checkpoint.tensors;
    const layout = parameterLayout(checkpoint.config);
    checkCount(layout, tensors);
    checkParameters(layout, { tensors });
    const content = isFile ? checkpoint.readTensors : checkpoint.tensors;
    return await Model.#place(checkpoint, {
      layout,
      fill: (store) => writeParameters(store, layout, content),
      placement,
    });
  }

  static async #place(
    { config, tokenizer }: Pick<Checkpoint, "config" | "tokenizer">,
    { layout, fill, placement: { backend, device, ...options } }: {
      layout: ParameterLayout;
      fill: (parameters: DeviceBuffer) => Promise<void> | void;
      placement: ModelPlacement;
    },
  ): Promise<Model> {
    if (tokenizer) checkVocabulary("create Model", tokenizer, config);
    const opened = backend ?? await openBackend(device, options);
    const ownsBackend = backend === undefined;
    const model = new Model(config, opened, { layout, ownsBackend });
    model.#tokenizer = tokenizer;
    try {
      await model.#fill(fill);
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
    return model;
  }

  /** Creates the stores that every model has: parameters and position tables. */
  async #fill(
    parameters: (store: DeviceBuffer) => Promise<void> | void,
  ): Promise<void> {
    const internals = this.#internals;
    // Allocates the store before drawing the values, which may take long.
    const store = await internals.store("params", internals.layout.length);
    await parameters(store);
    for (const [name, table] of positionTables(this.config)) {
      (await internals.store(name, table.length)).write(table);
    }
  }

  /**
   * Tokenizer of the model; undefined if none was set. {@linkcode Model.save} stores the tokenizer,
   * {@linkcode Model.load} restores it, and a {@linkcode Trainer} with a tokenizer sets it.
   */
  get tokenizer(): Tokenizer | undefined {
    return this.#tokenizer;
  }

  /** @throws {RangeError} if the tokenizer's size is not the model's `vocabSize` */
  set tokenizer(tokenizer: Tokenizer | undefined) {
    if (tokenizer) checkVocabulary("set tokenizer", tokenizer, this.config);
    this.#tokenizer = tokenizer;
  }

  /** Number of trainable parameters. */
  get parameterCount(): number {
    return this.#internals.layout.count;
  }

  /**
   * Floating-point operations to train on one token, by PaLM's rule (arXiv
   * 2204.02311, appendix B): 6 for each number of a matrix that the token is
   * multiplied with, and 12·NH·HS·T for the attention of each layer.
   */
  get flopsPerToken(): number {
    return flopsPerToken(this.config, this.#internals.layout);
  }

  /**
   * Returns the logits after every token.
   *
   * @param tokens ids, shape (B, T) row-major
   * @param shape B and T; T is at most `blockSize`
   * @returns logits, shape (B, T, V) row-major
   * @throws {RangeError} if the number of ids is not B·T, or an id is out of range
   */
  forward(tokens: Int32Array, shape: BatchShape): Promise<Numbers> {
    return this.#evaluator.forward(tokens, shape);
  }

  /**
   * Returns the mean loss of batches: cross-entropy in nats per token, without
   * label smoothing and dropout.
   *
   * @param batches batches as from {@linkcode Dataset.evalBatches}; each may have its own B and T. With T below
   * `blockSize` the result is the loss with a context of at most T tokens
   * @throws {RangeError} if no batch has a target, a T is above `blockSize`, a batch is not (B, T), or an id is out of range
   */
  evaluate(
    batches: Iterable<EvalBatch>,
    options: EvaluateOptions = {},
  ): Promise<number> {
    return this.#evaluator.evaluate(batches, options);
  }

  /**
   * Continues a prompt and yields one id at a time; see {@linkcode GenerateOptions}.
   *
   * @param prompt at least one id
   * @throws {RangeError} if the prompt is empty or has an id outside the vocabulary
   */
  generate(
    prompt: ArrayLike<number>,
    options: GenerateOptions = {},
  ): AsyncGenerator<number, void> {
    return generate(this.#internals, prompt, options);
  }

  /**
   * Continues several prompts of any lengths in one batch; rows are independent of each other.
   *
   * @returns one id for each row at each step, shape (rows)
   */
  generateBatch(
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions = {},
  ): AsyncGenerator<Int32Array, void> {
    return generateBatch(this.#internals, prompts, options);
  }

  /**
   * Continues a text and yields the pieces as they are generated, without the prompt. Leaving the
   * iteration early, or cancelling a stream made from it, ends the generation and frees its memory.
   *
   * @param prompt text to continue, at least one character
   * @param options options of the {@linkcode Sampler}, and conditions that end the text
   * @throws {TypeError} if the model has no {@linkcode Model.tokenizer}
   * @throws {RangeError} if the prompt is empty or has a character outside the vocabulary, or an option is out of range
   *
   * @example The response of a web server
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
      throw refusal(TypeError, "write", "the model has no tokenizer", {
        hint:
          "give one to Model.create or set model.tokenizer; generate takes ids instead of text",
      });
    }
    const sampler = new Sampler(options);
    return generateText(this, tokenizer, prompt, { ...options, sampler });
  }

  /** Returns a copy of the current parameters, by name. Their arrays are views of one buffer. */
  async parameters(): Promise<Map<string, TensorData>> {
    return await readParameters(
      this.#internals.stores.get("params")!,
      this.#internals.layout,
    );
  }

  /**
   * Replaces all parameters.
   *
   * @throws {RangeError} if a parameter is missing or has the wrong shape
   */
  setParameters(tensors: ReadonlyMap<string, TensorData>): void {
    const values = flatParameters(this.#internals.layout, { tensors });
    this.#internals.stores.get("params")!.write(values);
  }

  /**
   * Encodes the model as a checkpoint: safetensors, with configuration and tokenizer in the metadata.
   *
   * @param options.tokenizer tokenizer to store in place of {@linkcode Model.tokenizer}
   * @throws {RangeError} if the tokenizer's size is not the model's `vocabSize`
   */
  async save(
    { tokenizer = this.#tokenizer }: {
      readonly tokenizer?: Tokenizer | undefined;
    } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const tensors = await this.parameters();
    return encodeCheckpoint({ config: this.config, tensors, tokenizer });
  }

  /** Frees the memory of the model, and closes the device if the model opened it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#internals.dispose();
    if (this.#ownsBackend) await this.backend[Symbol.asyncDispose]();
  }
}

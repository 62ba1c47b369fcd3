/**
 * A model with its weights on a device: made, loaded, run, saved. The network
 * itself is described in `model.ts`, training is `trainer.ts`, text is `generate.ts`.
 */

import type {
  Backend,
  DeviceBuffer,
  Numbers,
  Program,
  Stores,
} from "./backends/backend.ts";
import { type Device, openBackend } from "./backends/open.ts";
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
} from "./checkpoint.ts";
import { type ModelConfig, modelConfig, type ModelOptions } from "./config.ts";
import type { EvalBatch } from "./dataset.ts";
import { generate, generateBatch, type GenerateOptions } from "./generate.ts";
import type { ParameterLayout } from "./graph/layout.ts";
import type { Plan } from "./graph/plan.ts";
import { breath } from "./metrics.ts";
import {
  initialParameters,
  readParameters,
  writeParameters,
} from "./parameters.ts";
import {
  type BatchShape,
  EVAL_SLOTS,
  evalPlan,
  parameterLayout,
} from "./plans.ts";
import { ropeTable, sinusoidalTable } from "./positions.ts";
import type { TensorData } from "./safetensors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** How long an evaluation may keep signals and timers waiting, in milliseconds. */
const BREATH_MS = 100;

/** Where a model lives and how it starts. */
export interface ModelPlacement {
  /** The device to open; `auto` if left out. The model closes it. */
  readonly device?: Device;
  /** A backend that is open already, in place of `device`. The model leaves it open. */
  readonly backend?: Backend;
}

/**
 * A GPT-style language model.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Model, Sampler, Tokenizer } from "@lm/core";
 *
 * const tokenizer = Tokenizer.bytes();
 * await using model = await Model.create(
 *   { vocabSize: tokenizer.vocabSize, blockSize: 16, nLayer: 1, nHead: 2, nEmbd: 16 },
 *   { device: "reference", seed: 1 },
 * );
 * const ids: number[] = [];
 * for await (
 *   const id of model.generate(tokenizer.encode("To be"), {
 *     sampler: new Sampler({ seed: 7 }),
 *     maxNewTokens: 4,
 *   })
 * ) ids.push(id);
 * assertEquals(ids.length, 4);
 * ```
 */
export class Model implements AsyncDisposable {
  /** What the model is. */
  readonly config: ModelConfig;
  /** What computes it. */
  readonly backend: Backend;
  /**
   * Where each parameter lies in the stores.
   *
   * @internal
   */
  readonly layout: ParameterLayout;
  /**
   * Parameters (and, once trained, gradients and moments) and constants on the device, by name.
   *
   * @internal
   */
  readonly stores: Stores = new Map();
  readonly #ownsBackend: boolean;
  readonly #programs: Promise<Program>[] = [];
  readonly #evaluators = new Map<string, Promise<Program>>();

  private constructor(
    config: ModelConfig,
    backend: Backend,
    { layout, ownsBackend }: { layout: ParameterLayout; ownsBackend: boolean },
  ) {
    this.config = config;
    this.backend = backend;
    this.layout = layout;
    this.#ownsBackend = ownsBackend;
    this.#store("params", layout.length);
    const { blockSize, nEmbd, nHead, position } = config;
    if (position === "sinusoidal") {
      const table = sinusoidalTable(blockSize, nEmbd);
      this.#store("sinusoidal", table.length).write(table);
    } else if (position === "rope" || position === "rope-half") {
      const table = ropeTable(blockSize, nEmbd / nHead);
      this.#store("rope", table.length).write(table);
    }
  }

  #store(name: string, length: number): DeviceBuffer {
    const spec = { name, kind: "store", dtype: "f32", length } as const;
    const store = this.backend.createStore(spec);
    this.stores.set(name, store);
    return store;
  }

  /**
   * Compiles a plan on the model's stores; it lives as long as the model.
   *
   * @internal
   */
  compile(plan: Plan): Promise<Program> {
    const program = this.backend.compile(plan, this.stores);
    this.#programs.push(program);
    return program;
  }

  /**
   * Makes a model with random weights.
   *
   * @param options the architecture; what is left out has its default
   * @param placement where it lives, and `seed`, an integer in [0, 2^32) that chooses the weights
   * @throws {RangeError} if the architecture is impossible
   * @throws {NoAdapterError} if the device cannot be opened
   */
  static async create(
    options: ModelOptions,
    placement: ModelPlacement & { readonly seed?: number } = {},
  ): Promise<Model> {
    const config = modelConfig(options);
    const layout = parameterLayout(config);
    const initial = initialParameters(layout, placement.seed ?? 1);
    const model = await Model.#place(config, layout, placement);
    model.stores.get("params")!.write(initial);
    return model;
  }

  /**
   * Loads a model from a checkpoint, or from one's bytes.
   *
   * @throws {SyntaxError} if the bytes are not a checkpoint
   * @throws {RangeError} if the tensors do not fit the configuration
   */
  static async load(
    source: Uint8Array | Checkpoint,
    placement: ModelPlacement = {},
  ): Promise<Model> {
    const { config, tensors } = source instanceof Uint8Array
      ? decodeCheckpoint(source)
      : source;
    const layout = parameterLayout(config);
    checkSize(layout, tensors);
    const model = await Model.#place(config, layout, placement);
    try {
      writeParameters(model.stores.get("params")!, layout, { tensors });
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
    return model;
  }

  static async #place(
    config: ModelConfig,
    layout: ParameterLayout,
    { device = "auto", backend }: ModelPlacement,
  ): Promise<Model> {
    const opened = backend ?? await openBackend(device);
    return new Model(config, opened, {
      layout,
      ownsBackend: backend === undefined,
    });
  }

  /** Trainable numbers. */
  get parameterCount(): number {
    return this.layout.count;
  }

  /**
   * Floating point operations to train on one token, by the rule of PaLM
   * (arXiv 2204.02311, appendix B): 6 for each number in a matrix that the token
   * is multiplied with, and 12·C·T for each layer's attention.
   */
  get flopsPerToken(): number {
    return flopsPerToken(this.config, this.layout);
  }

  /**
   * Logits after every token.
   *
   * @param tokens (B, T), row-major ids
   * @param shape B and T, T at most `blockSize`
   * @returns (B, T, V), row-major
   * @throws {RangeError} if the ids are not (B, T) or out of range
   */
  async forward(tokens: Int32Array, shape: BatchShape): Promise<Numbers> {
    checkTokens(tokens, shape, this.config);
    const program = await this.#evaluator(shape);
    program.buffer("tokens").write(tokens);
    program.buffer("targets").write(new Int32Array(tokens.length).fill(-1));
    program.run();
    return await program.buffer("logits").read();
  }

  /**
   * The mean loss of batches: plain cross-entropy in nats per token, without
   * label smoothing and dropout.
   *
   * @param batches as {@linkcode Dataset.evalBatches} gives them
   * @param options.T positions in a row; `blockSize` if left out
   */
  async evaluate(
    batches: Iterable<EvalBatch>,
    { T = this.config.blockSize, signal }: {
      T?: number;
      signal?: AbortSignal;
    } = {},
  ): Promise<number> {
    let total = 0;
    let count = 0;
    let filled = 0;
    let program: Program | undefined;
    let breathed = performance.now();
    const collect = async () => {
      const losses = await program!.buffer("losses").read(0, filled);
      for (const loss of losses) total += loss;
      filled = 0;
    };
    for (const batch of batches) {
      if (performance.now() - breathed > BREATH_MS) {
        await breath();
        breathed = performance.now();
      }
      signal?.throwIfAborted();
      const shape = { B: batch.tokens.length / T, T };
      checkTokens(batch.tokens, shape, this.config);
      program = await this.#evaluator(shape);
      program.buffer("tokens").write(batch.tokens);
      program.buffer("targets").write(batch.targets);
      program.buffer("key").write([0, 0, 0, filled]);
      program.run();
      count += batch.count;
      filled++;
      if (filled === EVAL_SLOTS) await collect();
    }
    if (filled > 0) await collect();
    return total / count;
  }

  /** Compiled once for each shape. */
  #evaluator({ B, T }: BatchShape): Promise<Program> {
    const shape = `${B}x${T}`;
    let program = this.#evaluators.get(shape);
    if (program === undefined) {
      const plan = evalPlan(this.config, { B, T });
      program = this.compile(plan);
      this.#evaluators.set(shape, program);
    }
    return program;
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

  /** The parameters as they are now, by name. */
  parameters(): Promise<Map<string, TensorData>> {
    return readParameters(this.stores.get("params")!, this.layout);
  }

  /**
   * Replaces all parameters.
   *
   * @throws {RangeError} if one is missing or has another shape
   */
  setParameters(tensors: ReadonlyMap<string, TensorData>): void {
    writeParameters(this.stores.get("params")!, this.layout, { tensors });
  }

  /** The model as the bytes of a checkpoint: safetensors, with configuration and tokenizer in its metadata. */
  async save(
    { tokenizer }: { readonly tokenizer?: Tokenizer } = {},
  ): Promise<Uint8Array> {
    const tensors = await this.parameters();
    return encodeCheckpoint({ config: this.config, tensors, tokenizer });
  }

  /** Frees the model's memory, and the device if the model opened it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ownsBackend) {
      await this.backend[Symbol.asyncDispose]();
      return;
    }
    // One that did not compile has told so already, where it was asked for.
    const programs = await Promise.allSettled(this.#programs);
    for (const program of programs) {
      if (program.status === "fulfilled") program.value.destroy();
    }
    for (const store of this.stores.values()) store.destroy();
    this.stores.clear();
  }
}

/** See {@linkcode Model.flopsPerToken}. */
export function flopsPerToken(
  config: ModelConfig,
  layout: ParameterLayout,
): number {
  const { nLayer, nEmbd, blockSize, tiedHead, attention } = config;
  const multiplied = layout.entries.filter(({ name, shape }) =>
    shape.length === 2 && name !== "wpe.weight" &&
    (name !== "wte.weight" || tiedHead)
  ).reduce((sum, { length }) => sum + length, 0);
  const scores = attention ? 12 * nLayer * nEmbd * blockSize : 0;
  return 6 * multiplied + scores;
}

/** Refuses a configuration that claims more parameters than there are numbers for, before memory is taken. */
function checkSize(
  layout: ParameterLayout,
  tensors: ReadonlyMap<string, TensorData>,
): void {
  let available = 0;
  for (const { data } of tensors.values()) available += data.length;
  if (layout.count > available) {
    throw new RangeError(
      `Cannot load model: its configuration has ${layout.count} parameters, the file only ${available} numbers`,
    );
  }
}

function checkTokens(
  tokens: Int32Array,
  { B, T }: BatchShape,
  { blockSize, vocabSize }: ModelConfig,
): void {
  if (!Number.isInteger(B) || B < 1 || B * T !== tokens.length) {
    throw new RangeError(
      `Cannot run model: ${tokens.length} tokens are not ${B} rows of ${T}`,
    );
  }
  if (T > blockSize) {
    throw new RangeError(
      `Cannot run model: T (${T}) is above blockSize (${blockSize})`,
    );
  }
  for (const token of tokens) {
    if (token < 0 || token >= vocabSize) {
      throw new RangeError(
        `Cannot run model: token ${token} is not from 0 to ${vocabSize - 1}`,
      );
    }
  }
}

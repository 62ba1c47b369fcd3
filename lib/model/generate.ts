/**
 * Text generation: prefills the prompt, then decodes one token at a time with the
 * key/value cache.
 *
 * When a text outgrows the model's context, the window slides: the newest
 * `blockSize` / 2 tokens are encoded again from position 0, older tokens are dropped,
 * and `onSlide` is called. If the mask is not causal, old positions depend on new
 * ones and the cache is never valid: each token encodes the whole window again.
 */

import type { DeviceBuffer, Program, Stores } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import type { Plan } from "../graph/plan.ts";
import { yieldIfDue } from "./parts.ts";
import { cachedPlan } from "./plans.ts";
import { type Logits, Sampler, type SamplerOptions } from "../text/sampler.ts";
import { promptIds } from "../text/opening.ts";
import { endOfText } from "../text/special.ts";
import type { DecodeStream } from "../text/token_streams.ts";
import { checkVocabulary, type Tokenizer } from "../text/tokenizer.ts";
import type { ModelInternals } from "./internals.ts";
import { checkWithin } from "../range.ts";
import { refuser } from "../refusal.ts";

const cannotGenerate = refuser(RangeError, "generate");

/** Default number of tokens to generate for each row. */
export const MAX_NEW_TOKENS = 256;

/** Options of a generation. */
export interface GenerateOptions {
  /** Sampler or its options; by default tokens are drawn from the model's own distribution. */
  readonly sampler?: Sampler | SamplerOptions | undefined;
  /** Tokens to generate for each row; 256 by default. */
  readonly maxNewTokens?: number | undefined;
  /** Signal that ends the stream after the current token, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** Callback for a slide of a row's window; `forgotten` is the number of dropped tokens. */
  readonly onSlide?:
    | ((slide: { row: number; forgotten: number }) => void)
    | undefined;
}

/** Continues one prompt. See `Model.generate`. */
export async function* generate(
  model: ModelInternals,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
): AsyncGenerator<number, void> {
  for await (const [id] of generateBatch(model, [prompt], options)) yield id!;
}

/** Continues several prompts side by side. See `Model.generateBatch`. */
export async function* generateBatch(
  model: ModelInternals,
  prompts: readonly ArrayLike<number>[],
  options: GenerateOptions,
): AsyncGenerator<Int32Array, void> {
  const { maxNewTokens = MAX_NEW_TOKENS, signal } = options;
  const sampler = samplerOf(options);
  checkGeneration(model.config, prompts, options);
  const rows = prompts.length;
  const histories = prompts.map((prompt) => Array.from(prompt));
  const promptLength = Math.max(...prompts.map(({ length }) => length));
  const sizes = { rows, promptLength, maxNewTokens };
  // Checks all plans now: memory must not run out when a window slides for the first time.
  const plans = generationPlans(model.config, sizes);
  model.checkRoom("generate", [...plans.values()]);
  const { onSlide } = options;
  const generation = new Generation(model, { rows, plans, onSlide });
  try {
    for (let step = 0; step < maxNewTokens && !signal?.aborted; step++) {
      await yieldIfDue();
      const logits = await generation.advance(histories);
      if (signal?.aborted) return;
      const ids = sampler.sampleBatch(logits, { rows, step, histories });
      ids.forEach((id, row) => histories[row]!.push(id));
      yield ids;
    }
  } finally {
    generation.destroy();
  }
}

/** Returns the sampler that the options give or describe. */
export function samplerOf({ sampler }: GenerateOptions): Sampler {
  return sampler instanceof Sampler ? sampler : new Sampler(sampler);
}

/** Model that continues ids, as {@linkcode Model} does. */
export interface TokenGenerator {
  /** Architecture, of which the size of the vocabulary matters here. */
  readonly config: ModelConfig;
  /** Continues a prompt and yields one id at a time. */
  generate(
    prompt: ArrayLike<number>,
    options: GenerateOptions,
  ): AsyncGenerator<number, void>;
}

/** Options of {@linkcode generateText}. */
export interface GenerateTextOptions extends GenerateOptions {
  /** Strings that end the text; they are not part of the result. */
  readonly stop?: string | readonly string[] | undefined;
}

/** Options of {@linkcode Model.write}: how tokens are chosen and when the text ends. */
export interface WriteOptions
  extends SamplerOptions, Omit<GenerateTextOptions, "sampler"> {}

/**
 * Continues a text and yields the pieces as they are generated. Text that may begin
 * a stop string is held until the next tokens decide. If the tokenizer has `<|endoftext|>`, the text ends where the
 * model draws it, and an empty prompt begins a document.
 *
 * @throws {RangeError} if the tokenizer does not fit the model, the prompt is empty or has a character outside the
 * vocabulary, or an option is out of range
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { generateText, Model, Tokenizer } from "@lm/core";
 *
 * const tokenizer = Tokenizer.ascii();
 * await using model = await Model.create(
 *   { vocabSize: 128, blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
 *   { device: "reference" },
 * );
 * let text = "";
 * for await (
 *   const piece of generateText(model, tokenizer, "ROMEO:", { stop: ["e"], maxNewTokens: 9 })
 * ) text += piece;
 * assert(!text.includes("e"));
 * ```
 */
export function generateText(
  model: TokenGenerator,
  tokenizer: Tokenizer,
  prompt: string,
  options: GenerateTextOptions = {},
): AsyncGenerator<string, void> {
  const stop = [options.stop ?? []].flat();
  if (stop.includes("")) {
    throw cannotGenerate("a stop string is empty");
  }
  checkVocabulary("generate", tokenizer, model.config);
  const ids = promptIds(tokenizer, prompt);
  checkGeneration(model.config, [ids], options);
  const sampler = samplerOf(options);
  const tokens = model.generate(ids, { ...options, sampler });
  const document = idsBefore(endOfText(tokenizer), tokens);
  return pieces(document, stop, tokenizer.stream());
}

/** Yields ids up to one that ends them. */
async function* idsBefore(
  end: number | undefined,
  ids: AsyncIterable<number>,
): AsyncGenerator<number, void> {
  for await (const id of ids) {
    if (id === end) return;
    yield id;
  }
}

/** Yields the text of ids up to a stop string. */
export async function* pieces(
  ids: AsyncIterable<number>,
  stop: readonly string[],
  stream: DecodeStream,
): AsyncGenerator<string, void> {
  let held = "";
  for await (const id of ids) {
    held += stream.push(id);
    const end = firstOf(stop, held);
    if (end >= 0) {
      if (end > 0) yield held.slice(0, end);
      return;
    }
    const safe = held.length - longestBeginning(stop, held);
    if (safe > 0) {
      yield held.slice(0, safe);
      held = held.slice(safe);
    }
  }
  held += stream.flush();
  if (held !== "") yield held;
}

/** Returns the index of the first stop string in `text`; -1 if there is none. */
function firstOf(stop: readonly string[], text: string): number {
  const places = stop.map((word) => text.indexOf(word)).filter((at) => at >= 0);
  return places.length === 0 ? -1 : Math.min(...places);
}

/** Returns the length of the longest suffix of `text` that is a prefix of a stop string. */
function longestBeginning(stop: readonly string[], text: string): number {
  let longest = 0;
  for (const word of stop) {
    const most = Math.min(word.length - 1, text.length);
    for (let length = most; length > longest; length--) {
      if (text.endsWith(word.slice(0, length))) longest = length;
    }
  }
  return longest;
}

/** Sizes of a generation, which determine its plans. */
export interface GenerationSizes {
  readonly rows: number;
  /** Tokens of the longest prompt. */
  readonly promptLength: number;
  readonly maxNewTokens: number;
}

/** Returns the plans that a generation may run, keyed by T, the padded number of tokens encoded per run. */
export function generationPlans(
  config: ModelConfig,
  { rows: B, promptLength, maxNewTokens }: GenerationSizes,
): Map<number, Plan> {
  const { blockSize } = config;
  const first = Math.min(promptLength, blockSize);
  const last = promptLength + maxNewTokens - 1;
  const lengths = [first];
  if (!isCausal(config)) {
    const longest = Math.min(last, blockSize);
    for (let length = first; length <= longest; length++) lengths.push(length);
  } else if (maxNewTokens > 1) {
    lengths.push(1);
    if (last > blockSize) lengths.push(halfOf(blockSize));
  }
  const padded = lengths.map((length) => paddedLength(length, blockSize));
  return new Map(
    [...new Set(padded)].map((T) => [T, cachedPlan(config, { B, T })]),
  );
}

/** Returns a padded length. There are few such lengths, so few plans are compiled. */
export function paddedLength(length: number, blockSize: number): number {
  let T = 1;
  while (T < length) T *= T === 1 ? 16 : 4;
  return Math.min(T, blockSize);
}

/** Returns the number of tokens kept when a window slides. */
function halfOf(blockSize: number): number {
  return Math.max(1, Math.floor(blockSize / 2));
}

/** Device state of the generated texts: one cache row for each text. */
export class Generation {
  readonly #model: ModelInternals;
  readonly #rows: number;
  /** Plans by padded length. */
  readonly #plans: ReadonlyMap<number, Plan>;
  readonly #onSlide: GenerateOptions["onSlide"];
  readonly #stores: Stores;
  /** Stores that belong to the model. */
  readonly #shared: ReadonlySet<DeviceBuffer>;
  readonly #programs = new Map<number, Program>();
  /** For each row, where the window begins in the history, and how many tokens of the window are cached. */
  readonly #window: { begin: number; cached: number }[];

  constructor(model: ModelInternals, { rows, plans, onSlide }: {
    readonly rows: number;
    readonly plans: ReadonlyMap<number, Plan>;
    readonly onSlide: GenerateOptions["onSlide"];
  }) {
    this.#model = model;
    this.#rows = rows;
    this.#plans = plans;
    this.#onSlide = onSlide;
    this.#stores = new Map(model.stores);
    this.#shared = new Set(this.#stores.values());
    this.#window = Array.from(
      { length: rows },
      () => ({ begin: 0, cached: 0 }),
    );
  }

  /**
   * Extends the cache to the given histories and returns the logits (rows, V) after the last token of each history.
   *
   * @param most longest part of a history that is encoded; a longer one takes several calls, and its logits
   * are of use once {@linkcode Generation.holds} it
   */
  async advance(
    histories: readonly (readonly number[])[],
    most: number = Infinity,
  ): Promise<Logits> {
    const causal = isCausal(this.#model.config);
    const pending = histories.map((history, row) => {
      if (!causal) this.#window[row]!.cached = 0;
      this.#slide(history.length, row);
      const { begin, cached } = this.#window[row]!;
      return history.slice(begin + cached, begin + cached + most);
    });
    const longest = Math.max(...pending.map(({ length }) => length));
    const T = paddedLength(longest, this.#model.config.blockSize);
    const tokens = new Int32Array(this.#rows * T);
    pending.forEach((ids, row) => tokens.set(ids, row * T));
    const program = await this.#program(T);
    program.buffer("tokens").write(tokens);
    program.buffer("start").write(this.#window.map(({ cached }) => cached));
    program.buffer("count").write(pending.map(({ length }) => length));
    program.run();
    pending.forEach(({ length }, row) => this.#window[row]!.cached += length);
    return await program.buffer("logits").read() as Logits;
  }

  /** Returns whether the cache of a row reaches the end of a history of this length. */
  holds(row: number, length: number): boolean {
    const { begin, cached } = this.#window[row]!;
    return begin + cached === length;
  }

  /** Empties the cache of a row for another text. */
  reset(row: number): void {
    this.#window[row] = { begin: 0, cached: 0 };
  }

  #slide(length: number, row: number): void {
    const { blockSize } = this.#model.config;
    const window = this.#window[row]!;
    if (length - window.begin <= blockSize) return;
    // A prompt may fill the whole window. A growing text keeps half of it free, so that
    // one encoding of the window serves many tokens.
    const kept = window.cached === 0 ? blockSize : halfOf(blockSize);
    const begin = length - kept;
    this.#onSlide?.({ row, forgotten: begin - window.begin });
    this.#window[row] = { begin, cached: 0 };
  }

  async #program(T: number): Promise<Program> {
    let program = this.#programs.get(T);
    if (program === undefined) {
      const plan = this.#plans.get(T)!;
      program = await this.#model.bind(plan, this.#stores);
      this.#programs.set(T, program);
    }
    return program;
  }

  destroy(): void {
    for (const program of this.#programs.values()) program.destroy();
    for (const store of this.#stores.values()) {
      if (!this.#shared.has(store)) store.destroy();
    }
  }
}

/**
 * Returns whether no position depends on later ones, so that cached keys and values stay valid.
 * A finite mask gives no guarantee: it has no effect on scores far above its value.
 */
export function isCausal({ attention, mask }: ModelConfig): boolean {
  return !attention || mask === "causal";
}

/**
 * Checks the prompts and the options of a generation.
 *
 * @throws {RangeError} if a prompt is empty or has an id outside the vocabulary, or an option is out of range
 */
export function checkGeneration(
  { vocabSize }: ModelConfig,
  prompts: readonly ArrayLike<number>[],
  { maxNewTokens = 0 }: GenerateOptions,
): void {
  checkWithin({ least: 0, whole: true }, "generate", { maxNewTokens });
  if (prompts.length === 0) {
    throw cannotGenerate("there is no prompt");
  }
  prompts.forEach((prompt, row) => {
    if (prompt.length === 0) {
      throw cannotGenerate(
        `prompt ${row} is empty, and a model needs a token to start from`,
      );
    }
    for (const id of Array.from(prompt)) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw cannotGenerate(
          `token ${id} of prompt ${row} is not from 0 to ${vocabSize - 1}`,
        );
      }
    }
  });
}

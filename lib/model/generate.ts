/**
 * Text generation: chooses one token after another, from the logits that `generation.ts`
 * computes or, on a GPU, in blocks on the device (`chosen_tokens.ts`).
 */

import type { ModelConfig } from "../config/model.ts";
import { chosenTokens, isPlain } from "./chosen_tokens.ts";
import { Generation, generationPlans, isCausal } from "./generation.ts";
import { yieldIfDue } from "./parts.ts";
import { Sampler, type SamplerOptions } from "../text/sampler.ts";
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
  // A read waits for the queue of a GPU, in Deno for 10 ms and more.
  const chooses = model.executor.kind === "webgpu" && isPlain(sampler) &&
    isCausal(model.config);
  // Checks all plans now: memory must not run out when a window slides for the first time.
  const plans = generationPlans(model.config, sizes, { chooses });
  model.checkRoom("generate", [...plans.values()]);
  const { onSlide } = options;
  const generation = new Generation(model, {
    ...{ rows, plans, onSlide, signal },
  });
  try {
    let step = 0;
    if (chooses) {
      const { config } = model;
      const text = {
        config,
        histories,
        sampler,
        maxNewTokens,
        signal,
        onSlide,
      };
      step = yield* chosenTokens(generation, text);
    }
    for (; step < maxNewTokens && !signal?.aborted; step++) {
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

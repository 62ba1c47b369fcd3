/**
 * Examines texts and tokens: n-gram models to compare a model with, passages that a
 * text has in common with another, the characters of a text, and windows of tokens for an
 * evaluation. `@lm/core` has `Tokenizer`, `Dataset` and `Sampler`.
 *
 * @example
 * ```ts
 * import { longestSharedSpan, NgramModel } from "@lm/core/text";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const tokens = Uint8Array.of(0, 1, 0, 1, 0, 1, 0, 1);
 * const pairs = NgramModel.fit(tokens, { order: 2, vocabSize: 2 });
 * assert(pairs.loss(tokens) < Math.log(2)); // better than guessing
 *
 * const span = longestSharedSpan("the cat sat", "a cat sits");
 * assertEquals(span.length, " cat s".length);
 * ```
 *
 * @module
 */

export { CharacterSet } from "./characters.ts";
export { type EvalBatch, evalWindows } from "./dataset.ts";
export { NgramModel, type NgramOptions } from "./ngram.ts";
export { longestSharedSpan, type Span } from "./shared_span.ts";
export { TooLargeError } from "../refusal.ts";
export { type Tokens, tokensOf } from "./tokens.ts";

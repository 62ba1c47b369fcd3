/**
 * N-gram models, which predict a token from the few tokens before it. They are
 * baselines: a model that learned more than counts has a lower loss.
 */

import { hash } from "./hash.ts";
import { refusal, refuser, TooLargeError } from "../refusal.ts";
import { type Tokens, tokensOf } from "./tokens.ts";
import { checkWithin, positive } from "../range.ts";

const cannotFit = refuser(TooLargeError, "fit NgramModel");

/** Most distinct n-grams, over all lengths, in a model; they take about 3 GB. */
const MOST_NGRAMS: number = 2 ** 27;

/** Options of {@linkcode NgramModel.fit}. */
export interface NgramOptions {
  /** Longest n-gram, from 1 to 16; 1 is a unigram model, which ignores the context. */
  readonly order: number;
  /** Number of possible tokens, V. */
  readonly vocabSize: number;
  /** Signal that aborts the count; checked every 65,536 tokens. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * An n-gram model with interpolated Witten-Bell smoothing (Witten and Bell 1991; Chen and
 * Goodman 1998, section 2.6, arXiv cmp-lg/9606011):
 *
 *     p(w | h) = (count(h w) + kinds(h) · p(w | h')) / (count(h) + kinds(h))
 *
 * where kinds(h) is the number of distinct tokens that followed the context h, and h' is h
 * without its oldest token. The recursion ends below the empty context, with all tokens
 * equally likely.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Tokenizer } from "@lm/core";
 * import { NgramModel } from "@lm/core/text";
 *
 * const text = "to be or not to be, that is the question. ".repeat(20);
 * const tokenizer = Tokenizer.chars(text);
 * const { vocabSize } = tokenizer;
 * const tokens = tokenizer.encode(text);
 * const unigrams = NgramModel.fit(tokens, { order: 1, vocabSize });
 * const trigrams = NgramModel.fit(tokens, { order: 3, vocabSize });
 * assert(trigrams.loss(tokens) < unigrams.loss(tokens));
 * ```
 */
export class NgramModel {
  /** Longest n-gram. */
  readonly order: number;
  /** Number of possible tokens. */
  readonly vocabSize: number;
  /** Every n-gram of the text, up to `order` tokens, keyed by the number of its prefix and its last token. */
  readonly #ngrams: NgramTable;
  /**
   * N-grams of each length at the end of the text, the empty one first. No token follows
   * their last occurrence.
   */
  readonly #end: Int32Array;
  /** Tokens of the last call of `probability`, and their contexts. */
  #near: number[] = [];
  readonly #contexts: Int32Array;

  private constructor({ order, vocabSize }: NgramOptions) {
    this.order = order;
    this.vocabSize = vocabSize;
    this.#ngrams = new NgramTable(vocabSize);
    this.#end = contextsOf(order);
    this.#contexts = contextsOf(order);
  }

  /**
   * Counts the n-grams of a text.
   *
   * @param tokens the text, each in [0, V)
   * @throws {RangeError} if an option or a token is out of range, or if the text has more than
   * 2^27 different n-grams of at most `order` tokens
   */
  static fit(tokens: Tokens, options: NgramOptions): NgramModel {
    const { order, vocabSize, signal } = options;
    checkWithin({ ...positive, most: 16 }, "fit NgramModel", { order });
    const most = 2 ** 24;
    checkWithin({ ...positive, most }, "fit NgramModel", { vocabSize });
    if (tokens.length > MOST_TOKENS) {
      throw cannotFit(
        `the text has ${tokens.length} tokens, more than ${MOST_TOKENS}`,
      );
    }
    const model = new NgramModel(options);
    for (let at = 0; at < tokens.length; at++) {
      if (at % ASKED === 0) signal?.throwIfAborted();
      const token = tokens[at]!;
      model.#check(token);
      model.#ngrams.count(model.#end, token, signal);
    }
    return model;
  }

  /**
   * Returns the probability of a token after a context; always above 0.
   *
   * @param context tokens before `token`; only the last `order` - 1 matter
   * @throws {RangeError} if a token is out of range
   */
  probability(context: ArrayLike<number>, token: number): number {
    this.#check(token);
    const first = Math.max(0, context.length - this.order + 1);
    for (let i = first; i < context.length; i++) this.#check(context[i]!);
    this.#move(context, first);
    return this.#after(this.#contexts, token);
  }

  /**
   * Returns the mean cross-entropy of a text in nats per token, over each token but the first
   * given the tokens before it.
   *
   * @param options.signal aborts the work; checked every 65,536 tokens
   * @throws {RangeError} if a token is out of range, or if there are fewer than two tokens
   */
  loss(
    tokens: Tokens,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): number {
    if (tokens.length < 2) {
      throw refusal(
        RangeError,
        `measure the loss of ${tokens.length} tokens`,
        "at least 2 are needed",
      );
    }
    const contexts = contextsOf(this.order);
    this.#check(tokens[0]!);
    this.#ngrams.advance(contexts, tokens[0]!);
    let sum = 0;
    for (let at = 1; at < tokens.length; at++) {
      if (at % ASKED === 0) signal?.throwIfAborted();
      const token = tokens[at]!;
      this.#check(token);
      sum -= Math.log(this.#after(contexts, token));
      this.#ngrams.advance(contexts, token);
    }
    return sum / (tokens.length - 1);
  }

  #check(token: number): void {
    if (!Number.isInteger(token) || token < 0 || token >= this.vocabSize) {
      throw refusal(
        RangeError,
        `use token ${token}`,
        `it is not an integer from 0 to ${this.vocabSize - 1}`,
      );
    }
  }

  /** Looks up the contexts at the end of a text, unless the previous call had the same ones. */
  #move(text: ArrayLike<number>, first: number): void {
    const near = this.#near;
    let same = near.length === text.length - first;
    for (let i = 0; same && i < near.length; i++) {
      same = near[i] === text[first + i];
    }
    if (same) return;
    this.#near = Array.from(
      { length: text.length - first },
      (_, i) => text[first + i]!,
    );
    this.#contexts.fill(NONE, 1);
    for (const token of this.#near) {
      this.#ngrams.advance(this.#contexts, token);
    }
  }

  /** Returns the probability of a token, interpolated from the empty context to the longest known one. */
  #after(contexts: Int32Array, token: number): number {
    const ngrams = this.#ngrams;
    let probability = 1 / this.vocabSize;
    for (let length = 0; length < this.order; length++) {
      const context = contexts[length]!;
      if (context === NONE) break;
      const kinds = ngrams.kinds(context);
      // No token followed this context (or the text is empty), so it gives no estimate.
      if (kinds === 0) break;
      const followed = ngrams.occurrences(context) -
        (length > 0 && context === this.#end[length] ? 1 : 0);
      const ngram = ngrams.find(context, token);
      const count = ngram === NONE ? 0 : ngrams.occurrences(ngram);
      probability = (count + kinds * probability) / (followed + kinds);
    }
    return probability;
  }
}

/** Number that stands for no n-gram. */
const NONE = -1;

/** Number of the empty n-gram. */
const EMPTY = 0;

/** Tokens between two checks of a signal. */
const ASKED = 2 ** 16;

/** Longest text; counts are 32-bit integers. */
const MOST_TOKENS = 2 ** 31 - 2;

/** Returns the contexts of an empty text: the empty n-gram, and no n-gram for each longer length below `order`. */
function contextsOf(order: number): Int32Array {
  const contexts = new Int32Array(order).fill(NONE);
  contexts[0] = EMPTY;
  return contexts;
}

/**
 * N-grams and their counts in typed arrays, since a `Map` holds at most 2^24 entries. The hash key of
 * an n-gram is the number of its prefix and its last token; collisions use open addressing.
 */
class NgramTable {
  readonly #vocabSize: number;
  /** Hash table of n-gram numbers plus 1; 0 marks a free place. At most 3 of 4 places are taken. */
  #places = new Int32Array(1 << 10);
  /** Number of each n-gram's prefix: the n-gram without its last token. */
  #beginnings = new Int32Array(1 << 8);
  #lastTokens: Tokens;
  #occurrences = new Int32Array(1 << 8);
  /** Number of distinct tokens that follow each n-gram. */
  #kinds = new Int32Array(1 << 8);
  /** Number of n-grams; the first is the empty one. */
  #size = 1;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
    this.#lastTokens = tokensOf(vocabSize, 1 << 8);
  }

  occurrences(ngram: number): number {
    return this.#occurrences[ngram]!;
  }

  kinds(ngram: number): number {
    return this.#kinds[ngram]!;
  }

  /** Returns the number of the n-gram that extends a prefix by a token; NONE if the text does not contain it. */
  find(beginning: number, token: number): number {
    const mask = this.#places.length - 1;
    let place = hash(beginning, token) & mask;
    for (;;) {
      const ngram = this.#places[place]! - 1;
      if (
        ngram === NONE || (this.#beginnings[ngram] === beginning &&
          this.#lastTokens[ngram] === token)
      ) return ngram;
      place = (place + 1) & mask;
    }
  }

  /** Counts a token after each context, and advances the contexts past the token. */
  count(contexts: Int32Array, token: number, signal?: AbortSignal): void {
    this.#occurrences[EMPTY]!++;
    // The longest first: the successor of each context is one token longer.
    for (let length = contexts.length - 1; length >= 0; length--) {
      const context = contexts[length]!;
      if (context === NONE) continue;
      let ngram = this.find(context, token);
      if (ngram === NONE) {
        ngram = this.#add(context, token, signal);
        this.#kinds[context]!++;
      }
      this.#occurrences[ngram]!++;
      if (length + 1 < contexts.length) contexts[length + 1] = ngram;
    }
  }

  /** Advances contexts past the next token of a text; contexts that were never counted become NONE. */
  advance(contexts: Int32Array, token: number): void {
    for (let length = contexts.length - 2; length >= 0; length--) {
      const context = contexts[length]!;
      contexts[length + 1] = context === NONE
        ? NONE
        : this.find(context, token);
    }
  }

  #add(beginning: number, token: number, signal?: AbortSignal): number {
    if (this.#size === this.#beginnings.length) this.#grow(signal);
    const ngram = this.#size++;
    this.#beginnings[ngram] = beginning;
    this.#lastTokens[ngram] = token;
    this.#put(ngram);
    return ngram;
  }

  #put(ngram: number): void {
    const mask = this.#places.length - 1;
    let place = hash(this.#beginnings[ngram]!, this.#lastTokens[ngram]!) & mask;
    while (this.#places[place] !== 0) place = (place + 1) & mask;
    this.#places[place] = ngram + 1;
  }

  /** Grows the arrays by half, and doubles the hash table if needed. */
  #grow(signal?: AbortSignal): void {
    if (this.#size >= MOST_NGRAMS) {
      throw cannotFit(
        `the text has more than ${MOST_NGRAMS} different n-grams`,
      );
    }
    const length = Math.min(MOST_NGRAMS, this.#size + (this.#size >> 1));
    const grown = (old: Int32Array) => {
      const array = new Int32Array(length);
      array.set(old);
      return array;
    };
    this.#beginnings = grown(this.#beginnings);
    this.#occurrences = grown(this.#occurrences);
    this.#kinds = grown(this.#kinds);
    const lastTokens = tokensOf(this.#vocabSize, length);
    lastTokens.set(this.#lastTokens);
    this.#lastTokens = lastTokens;
    if (length <= this.#places.length * 3 / 4) return;
    this.#places = new Int32Array(2 * this.#places.length);
    for (let ngram = 1; ngram < this.#size; ngram++) {
      if (ngram % ASKED === 0) signal?.throwIfAborted();
      this.#put(ngram);
    }
  }
}

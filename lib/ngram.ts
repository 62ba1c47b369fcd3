/**
 * N-gram models: what can be said of a token from the few before it. They are the
 * yardsticks that a trained model has to beat to have learned more than counts.
 */

/** How an n-gram model is made. */
export interface NgramOptions {
  /** Tokens that count: 1 is a unigram model, which looks at no context. From 1 to 16. */
  readonly order: number;
  /** Number of tokens there can be, V. */
  readonly vocabSize: number;
}

/**
 * An n-gram model with interpolated Witten-Bell smoothing (Witten and Bell 1991; Chen and
 * Goodman 1998, section 2.6, arXiv cmp-lg/9606011):
 *
 *     p(w | h) = (count(h w) + kinds(h) · p(w | h')) / (count(h) + kinds(h))
 *
 * where kinds(h) is how many different tokens followed the context h, and h' is h without
 * its oldest token. Below the empty context all tokens are equally likely.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { NgramModel, Tokenizer } from "@lm/core";
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
  /** Tokens that count. */
  readonly order: number;
  /** Number of tokens there can be. */
  readonly vocabSize: number;
  /**
   * Contexts as a tree: from the empty one, 0, the most recent token comes first, so that a
   * context's parent is what it backs off to. Keys are context · V + token.
   */
  readonly #longer = new Map<number, number>();
  /** How often a token followed a context, by the same keys. */
  readonly #counts = new Map<number, number>();
  /** How many tokens followed each context. */
  readonly #totals: number[] = [0];
  /** How many different ones. */
  readonly #kinds: number[] = [0];

  private constructor({ order, vocabSize }: NgramOptions) {
    this.order = order;
    this.vocabSize = vocabSize;
  }

  /**
   * Counts a text.
   *
   * @param tokens the text, each in [0, V)
   * @throws {RangeError} if an option or a token is out of range
   */
  static fit(tokens: Int32Array, options: NgramOptions): NgramModel {
    const { order, vocabSize } = options;
    if (!Number.isInteger(order) || order < 1 || order > 16) {
      throw new RangeError(
        `Cannot fit NgramModel: order (${order}) is not an integer from 1 to 16`,
      );
    }
    if (
      !Number.isInteger(vocabSize) || vocabSize < 1 || vocabSize > 2 ** 24
    ) {
      throw new RangeError(
        `Cannot fit NgramModel: vocabSize (${vocabSize}) is not an integer from 1 to ${
          2 ** 24
        }`,
      );
    }
    const model = new NgramModel(options);
    for (let at = 0; at < tokens.length; at++) {
      model.#check(tokens[at]!);
      model.#count(tokens, at);
    }
    return model;
  }

  /**
   * The probability of a token after others, above 0.
   *
   * @param context the tokens before it; only the last `order` - 1 matter
   * @throws {RangeError} if a token is out of range
   */
  probability(context: ArrayLike<number>, token: number): number {
    this.#check(token);
    const first = Math.max(0, context.length - this.order + 1);
    for (let i = first; i < context.length; i++) this.#check(context[i]!);
    return this.#probability(context, context.length, token);
  }

  /**
   * Mean cross-entropy in nats per token of a text: of each token but the first, given those
   * before it.
   *
   * @throws {RangeError} if a token is out of range, or there are fewer than two
   */
  loss(tokens: Int32Array): number {
    if (tokens.length < 2) {
      throw new RangeError(
        `Cannot measure the loss of ${tokens.length} tokens: it takes 2`,
      );
    }
    this.#check(tokens[0]!);
    let sum = 0;
    for (let at = 1; at < tokens.length; at++) {
      this.#check(tokens[at]!);
      sum -= Math.log(this.#probability(tokens, at, tokens[at]!));
    }
    return sum / (tokens.length - 1);
  }

  #check(token: number): void {
    if (!Number.isInteger(token) || token < 0 || token >= this.vocabSize) {
      throw new RangeError(
        `Cannot use token ${token}: it is not an integer from 0 to ${
          this.vocabSize - 1
        }`,
      );
    }
  }

  /** Counts the token at a place of a text, after each of its contexts. */
  #count(tokens: Int32Array, at: number): void {
    const V = this.vocabSize;
    const token = tokens[at]!;
    let context = 0;
    for (let length = 0;; length++) {
      const key = context * V + token;
      const count = this.#counts.get(key) ?? 0;
      this.#counts.set(key, count + 1);
      this.#totals[context]!++;
      if (count === 0) this.#kinds[context]!++;
      if (length === this.order - 1 || length === at) return;
      const step = context * V + tokens[at - length - 1]!;
      let longer = this.#longer.get(step);
      if (longer === undefined) {
        longer = this.#totals.push(0) - 1;
        this.#kinds.push(0);
        this.#longer.set(step, longer);
      }
      context = longer;
    }
  }

  /** The probability of a token after the first `at` of others: from no context to the longest that is known. */
  #probability(
    tokens: ArrayLike<number>,
    at: number,
    token: number,
  ): number {
    const V = this.vocabSize;
    let probability = 1 / V;
    let context: number | undefined = 0;
    for (let length = 0; context !== undefined; length++) {
      const kinds = this.#kinds[context]!;
      const count = this.#counts.get(context * V + token) ?? 0;
      // A context that nothing followed says nothing; so does an empty text.
      if (kinds > 0) {
        probability = (count + kinds * probability) /
          (this.#totals[context]! + kinds);
      }
      if (length === this.order - 1 || length === at) break;
      context = this.#longer.get(context * V + tokens[at - length - 1]!);
    }
    return probability;
  }
}

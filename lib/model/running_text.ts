/** A text of a running batch: its history, the sampler that draws its tokens, and the reader that takes them. */

import type { Logits, Sampler } from "../text/sampler.ts";
import { isPlain, type WrittenText } from "./chosen_tokens.ts";
import { type GenerateOptions, MAX_NEW_TOKENS, samplerOf } from "./generate.ts";

/** A text that is generated, and the tokens that its reader has not taken. */
export class RunningText {
  readonly history: number[];
  readonly onSlide: GenerateOptions["onSlide"];
  /** True if the device draws what the sampler draws. */
  isPlain: boolean;
  readonly #sampler: Sampler;
  readonly #maxNewTokens: number;
  readonly #signal: AbortSignal | undefined;
  /** Tokens generated. */
  #step = 0;
  #taken = 0;
  readonly #promptLength: number;
  #isOver: boolean;
  #error: unknown;
  /** Resumes a reader that waits for a token. */
  #wake = () => {};
  readonly #abort = () => this.end();

  constructor(prompt: ArrayLike<number>, options: GenerateOptions) {
    this.history = Array.from(prompt);
    this.#promptLength = prompt.length;
    this.#sampler = samplerOf(options);
    this.isPlain = isPlain(this.#sampler);
    this.#maxNewTokens = options.maxNewTokens ?? MAX_NEW_TOKENS;
    this.#signal = options.signal;
    this.onSlide = options.onSlide;
    this.#isOver = this.#maxNewTokens === 0 || this.#signal?.aborted === true;
    if (!this.#isOver) this.#signal?.addEventListener("abort", this.#abort);
  }

  /** True if no more tokens are to be generated. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Number of tokens that are still to be generated. */
  get left(): number {
    return this.#maxNewTokens - this.#step;
  }

  /** The text as the device continues it. */
  get written(): Omit<WrittenText, "row"> {
    const { history } = this;
    const draws = { row: 0, step: this.#step };
    return { history, options: this.#sampler.options, draws };
  }

  /** Draws the next token. */
  extend(logits: Logits): void {
    if (this.#isOver) return;
    const { history } = this;
    try {
      this.take(this.#sampler.sample(logits, { step: this.#step, history }));
    } catch (error) {
      this.end(error); // Logits that are not finite end this text alone.
    }
  }

  /** Appends a drawn token. */
  take(id: number): void {
    if (this.#isOver) return;
    this.history.push(id);
    if (++this.#step === this.#maxNewTokens) this.end();
    this.#wake();
  }

  /** Ends the text; its reader still gets the tokens generated so far, then the error if there is one. */
  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#wake();
  }

  /** Yields the tokens as they are generated. */
  async *ids(): AsyncGenerator<number, void> {
    for (;;) {
      while (this.#taken < this.#step && !this.#signal?.aborted) {
        yield this.history[this.#promptLength + this.#taken++]!;
      }
      if (this.#isOver) break;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#error !== undefined) throw this.#error;
  }
}

/** Ops of text that stays on the device: the tokens that are encoded next, and the choice of a token. */

import type { KernelDims } from "../../../kernels/vocabulary.ts";
import type { Op, Tensor } from "../tensor.ts";

/** State of generated texts; see `choose` in the kernel vocabulary. */
export interface Texts {
  /** Last S tokens of each text, (B, S), i32: token i is at i mod S. */
  readonly text: Tensor;
  /** Seed, row, step and length of each text, (B, 4), i32. */
  readonly state: Tensor;
}

const lastTokensOp: Op<KernelDims["lastTokens"]> = {
  name: "lastTokens",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "lastTokens", outputs, inputs, dims: attrs });
  },
};

/**
 * Copies the last tokens of each text.
 *
 * @param tokens (B, T), i32: receives them
 * @param count (B), i32: how many they are; the rest of a row of `tokens` is padding
 */
export function lastTokens(
  tokens: Tensor,
  { text, state, count }: Texts & { count: Tensor },
): void {
  const [B, T] = tokens.shape as [number, number];
  tokens.graph.apply(lastTokensOp, {
    inputs: [text, state, count],
    outputs: [tokens],
    attrs: { B, T, S: text.shape[1]! },
  });
}

const chooseOp: Op<KernelDims["choose"]> = {
  name: "choose",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "choose", outputs, inputs, dims: attrs });
  },
};

/**
 * Draws the next token of each text and appends it to the text.
 *
 * @param logits (B, V)
 * @param options.seen (B, V), i32: not 0 for tokens that the repetition penalty acts on
 * @param options.cached (B), i32: tokens in the cache, to which `count` is added
 * @param options.tokens (B, T), i32: receives the token as the first of its row
 * @param options.count (B), i32: tokens of this run
 * @param options.settings (B, 5): temperature, topK, topP, minP, penalty
 */
export function choose(
  logits: Tensor,
  { text, state, seen, cached, tokens, count, settings }: Texts & {
    seen: Tensor;
    cached: Tensor;
    tokens: Tensor;
    count: Tensor;
    settings: Tensor;
  },
): void {
  const [B, V] = logits.shape as [number, number];
  logits.graph.apply(chooseOp, {
    inputs: [logits, count, settings],
    outputs: [text, seen, state, cached, tokens],
    attrs: { B, T: tokens.shape[1]!, V, S: text.shape[1]! },
  });
}

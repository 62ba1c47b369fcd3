/**
 * Quality measures of a model's text, computed from tokens and text alone: the score of the text under
 * an n-gram model of the training text, and the longest copied span. docs/check.md explains both.
 */

import type { NgramModel } from "./ngram.ts";
import { longestSharedSpan } from "./shared_span.ts";
import type { Tokens } from "./tokens.ts";

/** Scores of several texts under an n-gram model. */
export interface Score {
  /** Mean over all scored tokens, in nats per token. */
  readonly mean: number;
  /** Standard deviation of the means of the texts; NaN for fewer than two texts. */
  readonly deviation: number;
  /** Number of scored tokens. */
  readonly tokens: number;
}

/** Returns a given number of windows, spread evenly over a text; they may overlap. */
export function spreadWindows(
  tokens: Tokens,
  { count, length }: { readonly count: number; readonly length: number },
): Int32Array[] {
  const most = Math.min(length, tokens.length);
  return Array.from({ length: count }, (_, i) => {
    const room = tokens.length - most;
    const start = count === 1 ? 0 : Math.round(i * room / (count - 1));
    return Int32Array.from(tokens.subarray(start, start + most));
  });
}

/**
 * Scores each token of the texts but the first, given the tokens before it.
 *
 * @param texts token ids; at least 2 in each text
 */
export function scoreTexts(
  scorer: NgramModel,
  texts: readonly Int32Array[],
): Score {
  return gathered(
    texts.map((text) => ({
      mean: scorer.loss(text),
      tokens: text.length - 1,
    })),
  );
}

/**
 * Scores predicted tokens, each given the true tokens before its position.
 *
 * @param predictions for each text, the tokens drawn for its second position, its third, …
 */
export function scorePredictions(
  scorer: NgramModel,
  texts: readonly Int32Array[],
  predictions: readonly Int32Array[],
): Score {
  return gathered(texts.map((text, row) => {
    let sum = 0;
    for (const [i, token] of predictions[row]!.entries()) {
      const near = text.subarray(Math.max(0, i + 2 - scorer.order), i + 1);
      sum -= Math.log(scorer.probability(near, token));
    }
    const tokens = predictions[row]!.length;
    return { mean: sum / tokens, tokens };
  }));
}

function gathered(
  parts: readonly { readonly mean: number; readonly tokens: number }[],
): Score {
  const tokens = parts.reduce((sum, part) => sum + part.tokens, 0);
  const total = parts.reduce((sum, part) => sum + part.mean * part.tokens, 0);
  const middle = parts.reduce((sum, part) => sum + part.mean, 0) / parts.length;
  const squares = parts.reduce(
    (sum, part) => sum + (part.mean - middle) ** 2,
    0,
  );
  return {
    mean: total / tokens,
    deviation: Math.sqrt(squares / (parts.length - 1)),
    tokens,
  };
}

/** Free-running text of a model compared with its one-step predictions, in nats per token under one n-gram model. */
export interface Drift {
  /** Score of text that the model generated from its own past. */
  readonly own: Score;
  /** Score of the tokens that the model draws at each position of held-out text, given the true tokens before it. */
  readonly predicted: Score;
  /** Score of the held-out text. */
  readonly heldOut: Score;
  /** `own` - `predicted`: the loss added by free running. */
  readonly gap: number;
  /** Largest acceptable gap: see {@linkcode driftOf}. */
  readonly allowed: number;
}

/**
 * Compares the free-running text of a model with its one-step predictions.
 *
 * A model that learned to predict from the past does about as well on its own past: the gap is
 * near 0, or below 0 because the n-gram model expects less after a mistake. A model that saw its
 * targets in training does well on true text, which reveals the next token, and badly on its own
 * text. The gap may be as large as the standard deviation of the score over windows of held-out
 * text, since correct texts differ by that much.
 */
export function driftOf(
  { own, predicted, heldOut }: Pick<Drift, "own" | "predicted" | "heldOut">,
): Drift {
  const gap = own.mean - predicted.mean;
  return { own, predicted, heldOut, gap, allowed: heldOut.deviation };
}

/** Copied spans of a text. */
export interface Copying {
  /** Longest span of the text that also occurs in the training text. */
  readonly longest: string;
  /** Length of the longest span that the held-out text shares with the training text. */
  readonly natural: number;
}

/** Compares the longest spans that a text and the held-out text share with the training text. */
export function copyingOf(
  text: string,
  { training, heldOut, signal }: {
    readonly training: string;
    readonly heldOut: string;
    readonly signal?: AbortSignal | undefined;
  },
): Copying {
  const { start, length } = longestSharedSpan(text, training, { signal });
  return {
    longest: text.slice(start, start + length),
    natural: longestSharedSpan(heldOut, training, { signal }).length,
  };
}

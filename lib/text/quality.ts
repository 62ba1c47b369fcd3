/**
 * Measures of what a model learned, taken on tokens and text alone: how its own text does under
 * an n-gram model of the training text, and how much of it is copied. docs/check.md has the reasons.
 */

import type { NgramModel } from "./ngram.ts";
import { longestSharedSpan } from "./shared_span.ts";
import type { Tokens } from "./tokens.ts";

/** The scores of some texts under an n-gram model. */
export interface Score {
  /** Mean nats per token, over all tokens that were scored. */
  readonly mean: number;
  /** Standard deviation of the texts' own means; NaN for fewer than two. */
  readonly deviation: number;
  /** Tokens that were scored. */
  readonly tokens: number;
}

/** As many stretches of a text as asked for, evenly spread over it; they may overlap. */
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
 * Scores texts: each token but the first, given those before it.
 *
 * @param texts each of at least 2 tokens
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
 * Scores what was predicted for the places of texts, given what really stands before them.
 *
 * @param predictions for each text what was drawn in place of its second token, its third, …
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

/** What free running adds to a model's mistakes. All scores are in nats per token under one n-gram model. */
export interface Drift {
  /** Of text that the model wrote on its own. */
  readonly own: Score;
  /** Of what it draws for each place of held-out text, given what really stands before it. */
  readonly predicted: Score;
  /** Of the held-out text. */
  readonly heldOut: Score;
  /** `own` - `predicted`: what its own past costs it. */
  readonly gap: number;
  /** The most that the gap may be: see {@linkcode driftOf}. */
  readonly allowed: number;
}

/**
 * Compares what a model writes with what it predicts.
 *
 * A model that learned to predict from the past does about as well on a past of its own:
 * the gap is near or below 0, since after a slip of its own the n-gram model expects less.
 * One that saw what it was to predict does well with the true text before it, which tells it
 * what follows, and badly without. The gap may be one standard deviation of the score among windows
 * of the held-out text: so much do texts differ that are all right.
 */
export function driftOf(
  { own, predicted, heldOut }: Pick<Drift, "own" | "predicted" | "heldOut">,
): Drift {
  const gap = own.mean - predicted.mean;
  return { own, predicted, heldOut, gap, allowed: heldOut.deviation };
}

/** What a text has copied. */
export interface Copying {
  /** The longest stretch of it that stands in the training text. */
  readonly longest: string;
  /** The length of the longest stretch that the held-out text has in common with the training text. */
  readonly natural: number;
}

/** Compares what a text shares with the training text with what the held-out text shares with it anyway. */
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

/** New measurements for a report: the loss of each token of a passage, and the attention maps of a prompt. */

import { attentionMaps } from "../../model/attention_maps.ts";
import type { Numbers } from "../../backends/backend.ts";
import type { Model } from "../../model/model.ts";
import type { Tokens } from "../../text/tokens.ts";

/** Tokens of the passage whose losses are shown. */
const PASSAGE = 900;
/** Tokens of the text whose attention is shown. */
const PROMPT = 24;
/** Guesses shown for each token. */
const GUESSES = 3;

/** A token of a passage, with the model's loss and guesses for it. */
export interface ReadToken {
  readonly id: number;
  /** The loss, in nats. */
  readonly loss: number;
  /** The likeliest tokens, best first. */
  readonly guesses: readonly {
    readonly id: number;
    readonly probability: number;
  }[];
}

/** A passage and a prompt, as a model read them. */
export interface Inspection {
  readonly passage: readonly ReadToken[];
  /** The tokens that attention is shown on. */
  readonly prompt: Int32Array;
  /** For each layer (NH, T, T); see `attentionMaps`. */
  readonly maps: readonly Float64Array[];
}

/**
 * Reads a passage with a model.
 *
 * @param tokens a text that begins before the passage, so that it has a context; at least 2
 * @param isLineEnd whether a token ends a line: passage and prompt begin after one
 */
export async function inspect(
  model: Model,
  tokens: Tokens,
  isLineEnd: (id: number) => boolean,
): Promise<Inspection> {
  const { blockSize } = model.config;
  const start = lineAfter(
    tokens,
    Math.min(blockSize, Math.floor(tokens.length / 4)),
    isLineEnd,
  );
  const end = Math.min(start + PASSAGE, tokens.length);
  const passage = await readPassage(model, tokens, { start, end });
  const promptEnd = Math.min(start + Math.min(PROMPT, blockSize), end);
  const prompt = Int32Array.from(
    tokens.subarray(Math.min(start, promptEnd - 1), promptEnd),
  );
  return { passage, prompt, maps: await attentionMaps(model, prompt) };
}

/** Finds the first position from `from` on at which a line begins, if there is one near. */
function lineAfter(
  tokens: Tokens,
  from: number,
  isLineEnd: (id: number) => boolean,
): number {
  const first = Math.max(1, from);
  // Prefer a line after an empty one: a new passage begins there.
  for (const lines of [2, 1]) {
    for (let at = first; at < Math.min(first + 400, tokens.length / 2); at++) {
      const before = tokens.subarray(Math.max(0, at - lines), at);
      if (before.length === lines && before.every(isLineEnd)) return at;
    }
  }
  return first;
}

/**
 * Reads each token from `start` to `end` after as much context as there is, from half a block to a
 * whole one: the windows are side by side and overlap by half.
 */
async function readPassage(
  model: Model,
  tokens: Tokens,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<ReadToken[]> {
  const { blockSize: T, vocabSize: V } = model.config;
  const stride = Math.max(1, Math.floor(T / 2));
  const B = Math.ceil((end - start) / stride);
  const ids = new Int32Array(B * T);
  const rows = Array.from({ length: B }, (_, b) => {
    const first = start + b * stride;
    const last = Math.min(first + stride, end);
    const from = Math.max(0, last - 1 - T);
    ids.set(tokens.subarray(from, last - 1), b * T);
    return { first, last, from };
  });
  const logits = await model.forward(ids, { B, T });
  return rows.flatMap(({ first, last, from }, b) =>
    Array.from({ length: last - first }, (_, i) => {
      const at = (b * T + first + i - 1 - from) * V;
      return readToken(tokens[first + i]!, logits.subarray(at, at + V));
    })
  );
}

function readToken(id: number, logits: Numbers): ReadToken {
  let most = -Infinity;
  for (const logit of logits) most = Math.max(most, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  const lse = most + Math.log(sum);
  const guesses = Array.from(logits.keys())
    .sort((a, b) => logits[b]! - logits[a]!)
    .slice(0, GUESSES)
    .map((id) => ({ id, probability: Math.exp(logits[id]! - lse) }));
  return { id, loss: lse - logits[id]!, guesses };
}

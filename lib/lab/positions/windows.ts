/** Windows of text that models are measured on. */

import { CounterRandom, Purpose } from "../../../kernels/random.ts";
import { refusal } from "../../refusal.ts";
import type { Tokens } from "../../text/tokens.ts";

/** Windows of T tokens, each with the next token of every position. */
export interface Windows {
  readonly T: number;
  readonly count: number;
  /** (count, T) */
  readonly tokens: Int32Array;
  /** (count, T) */
  readonly targets: Int32Array;
}

/**
 * Returns at most `atMost` whole windows of a text, evenly spread; they may overlap.
 *
 * @throws {RangeError} if the text is shorter than one window
 */
export function spreadWindows(
  text: Tokens,
  { T, atMost }: { readonly T: number; readonly atMost: number },
): Windows {
  const starts = text.length - T; // the last one has a target too
  if (starts < 1) {
    throw refusal(
      RangeError,
      "cut windows",
      `the text has ${text.length} tokens, fewer than ${T + 1}`,
    );
  }
  const count = Math.min(atMost, starts);
  const tokens = new Int32Array(count * T);
  const targets = new Int32Array(count * T);
  for (let n = 0; n < count; n++) {
    const start = Math.floor(n * starts / count);
    tokens.set(text.subarray(start, start + T), n * T);
    targets.set(text.subarray(start + 1, start + 1 + T), n * T);
  }
  return { T, count, tokens, targets };
}

/** Returns the same tokens in each window, in another order; the targets no longer mean anything. */
export function shuffledWindows(windows: Windows, seed: number): Windows {
  const { T, count } = windows;
  const tokens = new Int32Array(windows.tokens.length);
  for (let n = 0; n < count; n++) {
    permutation(T, { seed, row: n }).forEach((from, to) =>
      tokens[n * T + to] = windows.tokens[n * T + from]!
    );
  }
  return { T, count, tokens, targets: new Int32Array(tokens.length) };
}

/** Returns windows of one repeated token each: one for each token of a vocabulary. */
export function constantWindows(vocabSize: number, T: number): Windows {
  const tokens = Int32Array.from(
    { length: vocabSize * T },
    (_, i) => Math.floor(i / T),
  );
  return { T, count: vocabSize, tokens, targets: tokens };
}

/** Returns a random order of 0 … n - 1, repeatable (Durstenfeld 1964, CACM 7(7), algorithm 235). */
export function permutation(
  n: number,
  { seed, row = 0 }: { readonly seed: number; readonly row?: number },
): Int32Array {
  const random = new CounterRandom(seed, Purpose.batch, ORDER);
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = random.below(i + 1, row, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Keeps these random numbers apart from those that draw batches. */
const ORDER = 1;

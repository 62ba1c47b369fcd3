/** Checks of batches: targets are the next tokens, and validation text is not in the training text. */

import type { Batch, Dataset } from "../text/dataset.ts";
import { type CheckGroup, type Finding, verdict } from "./verdict.ts";
import type { Tokens } from "../text/tokens.ts";

/** Number of batches of each kind to check, and of windows of the validation split to search for. */
const BATCHES = 16;
const WINDOWS = 64;

/** Number of tokens that are searched as one string. */
const PART = 2 ** 24;

/** Shortest window to search for; shorter windows occur twice in any text. */
const SHORTEST = 12;

/** Offsets at which targets are looked for. */
const AHEAD = [0, 1, 2, 3];

/**
 * Returns the checks of a dataset.
 *
 * @param training tokens of the training text
 * @param options.signal aborts the search of the training text
 */
export function batchChecks(
  dataset: Dataset,
  training: Tokens,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): CheckGroup {
  return {
    name: "batches",
    meaning:
      "each target is the next token, and no validation text is trained on.",
    async *run() {
      yield await verdict("training targets", () => {
        const steps = Array.from({ length: BATCHES }, (_, step) => step);
        return checkTargets(dataset, steps.map((step) => dataset.batch(step)));
      });
      const options = { maxBatches: BATCHES };
      const validation = [...dataset.evalBatches("val", options)];
      yield await verdict(
        "validation targets",
        () => checkTargets(dataset, validation),
      );
      yield await verdict(
        "split",
        () => checkSplit(dataset, { validation, training, signal }),
      );
    },
  };
}

/** Compares the targets of each row with the row's own tokens. */
function checkTargets(
  { blockSize: T }: Dataset,
  batches: readonly Batch[],
): Finding {
  const same = AHEAD.map(() => 0);
  let count = 0;
  for (const { tokens, targets } of batches) {
    targets.forEach((target, i) => {
      // The end of a row, and of the text, has no following tokens to compare with.
      if (target < 0 || i % T + AHEAD.length > T) return;
      if (targets[i + AHEAD.length - 1]! < 0) return;
      count++;
      for (const [at, ahead] of AHEAD.entries()) {
        if (target === tokens[i + ahead]) same[at]!++;
      }
    });
  }
  if (count === 0) {
    const found = `windows of ${T} tokens are too short to check`;
    return { status: "skipped", found };
  }
  const numbers = { count, next: same[1]! };
  if (same[1] === count) {
    const found = `${count} targets, each the next token`;
    return { status: "ok", found, numbers };
  }
  const ahead = same.findIndex((equal) => equal === count);
  const instead = ahead < 0
    ? ""
    : ahead === 0
    ? "; all are the token at the same position"
    : `; all are ${ahead} positions ahead`;
  return {
    status: "failed",
    found: `${
      count - same[1]!
    } of ${count} targets are not the next token${instead}`,
    hint: "the losses are of another task: each target must be the next token",
    numbers,
  };
}

/** Searches the training text for windows of the validation split. */
function checkSplit(
  { blockSize: T }: Dataset,
  { validation, training, signal }: {
    readonly validation: readonly Batch[];
    readonly training: Tokens;
    readonly signal: AbortSignal | undefined;
  },
): Finding {
  const windows: string[] = [];
  for (const { tokens, targets } of validation) {
    for (let from = 0; from < tokens.length; from += T) {
      if (targets[from + T - 1]! < 0) continue; // an incomplete window
      windows.push(asString(tokens.subarray(from, from + T)));
    }
  }
  const step = Math.max(1, Math.floor(windows.length / WINDOWS));
  const looked = windows.filter((_, i) => i % step === 0).slice(0, WINDOWS);
  if (looked.length === 0 || T < SHORTEST) {
    const found = `there is no window of at least ${SHORTEST} tokens`;
    return { status: "skipped", found };
  }
  const unknown = new Set(looked.keys());
  // Parts overlap by one window. A whole text may exceed the longest string, 2^29 units.
  for (let from = 0; from < training.length; from += PART) {
    const text = asString(training.subarray(from, from + PART + T - 1));
    for (const i of unknown) {
      signal?.throwIfAborted();
      if (text.includes(looked[i]!)) unknown.delete(i);
    }
  }
  const known = looked.length - unknown.size;
  const found =
    `${known} of ${looked.length} validation windows occur in the training text`;
  const numbers = { known, windows: looked.length };
  return known <= looked.length / 2 ? { status: "ok", found, numbers } : {
    status: "failed",
    found: `LEAK: ${found}`,
    hint:
      "the validation loss is partly a training loss: it says nothing about new text",
    numbers,
  };
}

/** Returns tokens as UTF-16 units. Ids above 65,535 collide, which may add matches but never hides one. */
function asString(tokens: Tokens): string {
  let text = "";
  for (let from = 0; from < tokens.length; from += 1 << 13) {
    text += String.fromCharCode(...tokens.subarray(from, from + (1 << 13)));
  }
  return text;
}

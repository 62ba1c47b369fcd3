/** That a key/value cache changes nothing: prefill and decoding give the logits of full passes, row by row. */

import { assertAlmostEquals } from "@std/assert";
import type { Numbers } from "../../lib/backends/backend.ts";
import { type Bench, variantsTest } from "./model_bench.ts";
import { CachedRun } from "../../lib/checks/cached_run.ts";
import { lastLogits } from "../fixtures/last_logits.ts";
import { isCausal, randomIds } from "../../lib/checks/variants.ts";

/** Registers the tests on a backend. */
export function registerDecoding(bench: Bench): void {
  const assertClose = (actual: Numbers, expected: Numbers, what: string) =>
    expected.forEach((logit, i) =>
      assertAlmostEquals(actual[i]!, logit, bench.tolerance, `${what}, id ${i}`)
    );

  variantsTest(bench, "cached decoding gives the logits of a full pass", {
    holds: ({ config }) => isCausal(config),
    check: async (model) => {
      const { blockSize: T, vocabSize } = model.config;
      const tokens = randomIds(T, { vocabSize });
      for (const promptLength of [1, 3, T]) {
        await using run = new CachedRun(model, 1);
        let logits = await run.feed([tokens.subarray(0, promptLength)]);
        for (let length = promptLength;; length++) {
          const expected = await lastLogits(model, tokens.subarray(0, length));
          const what = `${length} tokens, ${promptLength} of them at once`;
          assertClose(logits, expected, what);
          if (length === T) break;
          logits = await run.feed([[tokens[length]!]]);
        }
      }
    },
  });

  variantsTest(bench, "a prefill gives the last logits of a full pass", {
    holds: ({ config }) => !isCausal(config),
    check: async (model) => {
      const { blockSize: T, vocabSize } = model.config;
      for (let length = 1; length <= T; length++) {
        const tokens = randomIds(length, { vocabSize });
        await using run = new CachedRun(model, 1);
        const logits = await run.feed([tokens]);
        const expected = await lastLogits(model, tokens);
        assertClose(logits, expected, `${length} tokens`);
      }
    },
  });

  variantsTest(bench, "rows of unequal length do not disturb each other", {
    holds: ({ config }) => isCausal(config),
    check: async (model) => {
      const { blockSize, vocabSize: V } = model.config;
      // Row by row, how many tokens come in each call.
      const calls = [[1, 3, 2], [2, 1, 1], [1, 1, 1], [1, 1, 2]];
      const texts = [0, 1, 2].map((row) =>
        randomIds(blockSize, { vocabSize: V, seed: row })
      );
      await using run = new CachedRun(model, texts.length);
      const lengths = texts.map(() => 0);
      for (const counts of calls) {
        const news = counts.map((count, row) => {
          const from = lengths[row]!;
          lengths[row] = from + count;
          return texts[row]!.subarray(from, from + count);
        });
        const logits = await run.feed(news);
        for (const [row, length] of lengths.entries()) {
          const actual = logits.subarray(row * V, (row + 1) * V);
          const text = texts[row]!.subarray(0, length);
          const what = `row ${row} with ${length} tokens`;
          assertClose(actual, await lastLogits(model, text), what);
        }
      }
    },
  });
}

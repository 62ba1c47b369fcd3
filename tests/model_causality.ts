/**
 * That no token reaches an earlier position, bit for bit, on every path: a full pass,
 * a prefill with padding, decoding on a cache with old content; and that the masks
 * which are not causal do let it, so that these tests can fail.
 */

import { assert, assertEquals } from "@std/assert";
import type { Numbers } from "../lib/backends/backend.ts";
import type { Model } from "../lib/language_model.ts";
import { type Bench, variantsTest } from "./model_bench.ts";
import { CachedRun } from "../lib/checks/cached_run.ts";
import { isCausal, randomIds } from "../lib/checks/variants.ts";

const B = 2;

/** Registers the tests on a backend. */
export function registerCausality(bench: Bench): void {
  variantsTest(bench, "a changed token changes no earlier logit", {
    holds: ({ config }) => isCausal(config),
    check: async (model) => {
      for (const { before, later, other } of await changes(model)) {
        assertEquals(before, 0, "earlier logits have changed");
        assertEquals(other, 0, "another row's logits have changed");
        assert(later > 0, "nothing has changed at all");
      }
    },
  });

  variantsTest(bench, "a mask that is not causal lets tokens reach back", {
    holds: ({ config }) => !isCausal(config),
    check: async (model) => {
      for (const { before, other } of await changes(model)) {
        assert(before > 0, "earlier logits have not changed");
        assertEquals(other, 0, "another row's logits have changed");
      }
    },
  });

  variantsTest(bench, "a prefill's padding reaches nothing", {
    check: async (model) => {
      const { blockSize: T, vocabSize: V } = model.config;
      const rows = [
        randomIds(T - 2, { vocabSize: V, seed: 1 }),
        randomIds(1, { vocabSize: V, seed: 2 }),
      ];
      const runWith = async (padding: number) => {
        await using run = new CachedRun(model, rows.length);
        const logits = await run.feed(rows, padding);
        return [logits, ...await caches(model, run)];
      };
      assertEquals(await runWith(0), await runWith(V - 1));
    },
  });

  variantsTest(bench, "a changed token changes nothing cached before it", {
    holds: ({ config }) => config.attention && isCausal(config),
    check: async (model) => {
      const { blockSize: T, vocabSize: V } = model.config;
      const prompt = randomIds(T, { vocabSize: V });
      const cachesOf = async (tokens: Int32Array) => {
        await using run = new CachedRun(model, 1);
        await run.feed([tokens]);
        return await caches(model, run);
      };
      const original = await cachesOf(prompt);
      for (let at = 1; at < T; at++) {
        const changed = prompt.with(at, (prompt[at]! + 1) % V);
        (await cachesOf(changed)).forEach((cache, layer) => {
          const width = cache.length / T;
          const past = (cache: Numbers) => cache.subarray(0, at * width);
          assertEquals(past(cache), past(original[layer]!));
          assert(cache.some((value, i) => value !== original[layer]![i]));
        });
      }
    },
  });

  variantsTest(bench, "decoding does not see what a cache held before", {
    holds: ({ config }) => config.attention,
    check: async (model) => {
      const { nLayer, blockSize, vocabSize } = model.config;
      const [first, ...rest] = randomIds(blockSize, { vocabSize });
      const decode = async (oldContent: number) => {
        await using run = new CachedRun(model, 1);
        const logits = [await run.feed([[first!]])];
        for (let layer = 0; layer < nLayer; layer++) {
          const cache = run.cache(layer);
          const width = cache.spec.length / blockSize;
          const old = new Float32Array(cache.spec.length - width);
          cache.write(old.fill(oldContent), width);
        }
        for (const id of rest) logits.push(await run.feed([[id]]));
        return logits;
      };
      assertEquals(await decode(0), await decode(1e3));
    },
  });
}

/** The largest changes of logits when one token of the first row becomes another, for each position but the first. */
async function changes(
  model: Model,
): Promise<{ before: number; later: number; other: number }[]> {
  const { blockSize: T, vocabSize: V } = model.config;
  const tokens = randomIds(B * T, { vocabSize: V });
  const original = await model.forward(tokens, { B, T });
  const results = [];
  for (let at = 1; at < T; at++) {
    const changed = tokens.with(at, (tokens[at]! + 1) % V);
    const logits = await model.forward(changed, { B, T });
    const largest = (from: number, to: number) => {
      let most = 0;
      for (let i = from * V; i < to * V; i++) {
        most = Math.max(most, Math.abs(logits[i]! - original[i]!));
      }
      return most;
    };
    results.push({
      before: largest(0, at),
      later: largest(at, T),
      other: largest(T, B * T),
    });
  }
  return results;
}

/** The content of all layers' caches. */
function caches(model: Model, run: CachedRun): Promise<Numbers[]> {
  const { attention, nLayer } = model.config;
  const layers = Array.from({ length: attention ? nLayer : 0 }, (_, i) => i);
  return Promise.all(layers.map((layer) => run.cache(layer).read()));
}

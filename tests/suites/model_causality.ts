/**
 * That no token reaches an earlier position, bit for bit, on every path: a full pass,
 * a prefill with padding, decoding on a cache with old content; and that the masks
 * which are not causal do let it, so that these tests can fail.
 */

import { assert, assertEquals } from "@std/assert";
import {
  cachedReach,
  fullReach,
  paddingReaches,
  spread,
  staleCacheReaches,
} from "../../lib/checks/causality.ts";
import { isCausal, randomIds } from "../../lib/checks/variants.ts";
import type { Model } from "../../lib/model/model.ts";
import { type Bench, variantsTest } from "./model_bench.ts";

/** Registers the tests on a backend. */
export function registerCausality(bench: Bench): void {
  variantsTest(bench, "a changed token changes no earlier logit", {
    holds: ({ config }) => isCausal(config),
    check: async (model) => {
      for (const { before, later, other } of await reaches(model)) {
        assertEquals(before, 0, "earlier logits have changed");
        assertEquals(other, 0, "another row's logits have changed");
        assert(later > 0, "nothing has changed at all");
      }
    },
  });

  variantsTest(bench, "a mask that is not causal lets tokens reach back", {
    holds: ({ config }) => !isCausal(config),
    check: async (model) => {
      for (const { before, other } of await reaches(model)) {
        assert(before > 0, "earlier logits have not changed");
        assertEquals(other, 0, "another row's logits have changed");
      }
    },
  });

  variantsTest(bench, "a prefill's padding reaches nothing", {
    check: async (model) => {
      const { blockSize: T, vocabSize } = model.config;
      const prompts = [
        randomIds(T - 2, { vocabSize, seed: 1 }),
        randomIds(1, { vocabSize, seed: 2 }),
      ];
      assert(!await paddingReaches(model, prompts));
    },
  });

  variantsTest(bench, "a changed token changes nothing cached before it", {
    holds: ({ config }) => config.attention && isCausal(config),
    check: async (model) => {
      const { blockSize: T, vocabSize } = model.config;
      const tokens = randomIds(T, { vocabSize });
      for (const at of spread(T, T)) {
        const reach = await cachedReach(model, { tokens, positions: [at] });
        assertEquals(reach.before, 0);
        assert(reach.later > 0);
      }
    },
  });

  variantsTest(bench, "decoding does not see what a cache held before", {
    holds: ({ config }) => config.attention,
    check: async (model) => {
      const { blockSize, vocabSize } = model.config;
      const tokens = randomIds(blockSize, { vocabSize });
      assert(!await staleCacheReaches(model, tokens));
    },
  });
}

/** How far each token of a row but the first reaches. */
function reaches(model: Model) {
  const { blockSize: T, vocabSize } = model.config;
  const tokens = randomIds(2 * T, { vocabSize });
  return fullReach(model, { tokens, positions: spread(T, T) });
}

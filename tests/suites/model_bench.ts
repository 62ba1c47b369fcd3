/** What the suites of tests on whole models (`model_*.ts`) run on: any backend, the same tests. */

import type { Executor } from "../../lib/backends/backend.ts";
import { Model } from "../../lib/model/model.ts";
import { makeGeneric, type Variant } from "../../lib/checks/variants.ts";

/** A backend under test. */
export interface Bench {
  /** Stands before the names of tests. */
  readonly name: string;
  readonly open: () => Promise<Executor>;
  /** Skips the tests. The name says why. */
  readonly ignore?: boolean;
  readonly variants: readonly Variant[];
  /** How far two ways to compute the same logits, of order 1 to 10, may be apart. */
  readonly tolerance: number;
}

/** Registers a test on one backend, which it opens and closes. */
export function benchTest(
  { name, open, ignore = false }: Bench,
  claim: string,
  fn: (backend: Executor, test: Deno.TestContext) => Promise<void>,
): void {
  Deno.test({
    name: `${name}: ${claim}`,
    ignore,
    fn: async (test) => {
      await using backend = await open();
      await fn(backend, test);
    },
  });
}

/** Registers a test with a step for every variant that a condition holds for. */
export function variantsTest(
  bench: Bench,
  claim: string,
  { holds = () => true, check }: {
    holds?: (variant: Variant) => boolean;
    check: (model: Model) => Promise<void>;
  },
): void {
  benchTest(bench, claim, async (backend, test) => {
    for (const { name, config } of bench.variants.filter(holds)) {
      await test.step(name, async () => {
        await using model = await Model.create(config, { backend });
        await makeGeneric(model);
        await check(model);
      });
    }
  });
}

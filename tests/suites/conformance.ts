/** The conformance suite as tests: a backend's test calls {@linkcode registerConformance}. */

import type { Executor } from "../../lib/backends/backend.ts";
import type { Case } from "../../lib/checks/conformance_case.ts";
import { checkCase, describe, sizeOf } from "../../lib/checks/conformance.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";

/** How {@linkcode registerConformance} goes about it. */
export interface ConformanceOptions {
  /** Opens the backend, for each kernel anew. */
  readonly open: () => Promise<Executor>;
  /** Skips the tests. The name says why. */
  readonly ignore?: boolean;
  /** Leaves out cases with more elements than this in all operands. */
  readonly largest?: number;
  /** The cases; by default those that every backend passes. */
  readonly cases?: readonly Case[];
}

/**
 * Registers a test for each kernel, with a step for each of its cases.
 *
 * @param name what the backend is called in the tests' names
 */
export function registerConformance(
  name: string,
  { open, ignore = false, largest = Infinity, cases = conformanceCases }:
    ConformanceOptions,
): void {
  const small = cases.filter((test) => sizeOf(test) <= largest);
  for (const [kernel, tests] of Map.groupBy(small, ({ kernel }) => kernel)) {
    Deno.test({
      name: `${kernel} agrees with the float64 reference on ${name}`,
      ignore,
      fn: async (context) => {
        await using backend = await open();
        for (const test of tests) {
          await context.step(describe(test), async () => {
            await checkCase(backend, test);
          });
        }
      },
    });
  }
}

/** Whether models know the order of what they read, on any backend. */

import { assert, assertEquals } from "@std/assert";
import type { Backend } from "../../lib/backends/backend.ts";
import {
  exactChange,
  genericChange,
  type OrderCase,
} from "../../lib/lab/positions/order.ts";

/** Two layers without mask, or one with it: what knows no order if it has no positions. */
const orderless: readonly OrderCase[] = [
  { mask: "none", nLayer: 1 },
  { mask: "none", nLayer: 2 },
  { mask: "causal", nLayer: 1 },
];

/** Registers the tests on a backend. */
export function registerOrder(
  { name, open, epsilon, ignore = false }: {
    readonly name: string;
    readonly open: () => Promise<Backend>;
    /** The distance from 1 to the next number. */
    readonly epsilon: number;
    readonly ignore?: boolean;
  },
): void {
  const test = (claim: string, fn: (backend: Backend) => Promise<void>) =>
    Deno.test({
      name: `${name}: ${claim}`,
      ignore,
      fn: async () => {
        await using backend = await open();
        await fn(backend);
      },
    });

  test("without positions no bit tells the order of the other tokens, unless two layers are causal", async (backend) => {
    for (const change of orderless) {
      const { largest } = await exactChange(backend, {
        ...change,
        position: "none",
      });
      assertEquals(largest, 0, JSON.stringify(change));
    }
    const { share } = await exactChange(backend, {
      ...{ position: "none", mask: "causal", nLayer: 2 },
    });
    assert(share > 0.01, `two causal layers know the order: ${share}`);
  });

  test("without positions generic weights tell the order by rounding alone, unless two layers are causal", async (backend) => {
    for (const change of orderless) {
      const { share } = await genericChange(backend, {
        ...change,
        position: "none",
      });
      // Some ten sums of up to 8 terms follow each other, each with as many roundings.
      assert(share < 100 * epsilon, `${JSON.stringify(change)}: ${share}`);
    }
    const { share } = await genericChange(backend, {
      ...{ position: "none", mask: "causal", nLayer: 2 },
    });
    assert(share > 0.01, `two causal layers know the order: ${share}`);
  });

  test("positions tell the order", async (backend) => {
    for (
      const position of ["learned", "sinusoidal", "rope", "alibi"] as const
    ) {
      const { share } = await genericChange(backend, {
        ...{ position, mask: "none", nLayer: 1 },
      });
      assert(share > 1e-3, `${position}: ${share}`);
    }
  });
}

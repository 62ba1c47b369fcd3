/** What dropout's kernels, attention's included, are told about their masks. */

import { bits } from "./step.ts";

/** Random bits' purpose; see `Purpose` in `kernels/random.ts`. */
const DROPOUT_PURPOSE = 3;

/** Purpose and site, threshold, and 1 / (1 - rate): arguments for `factors` in `assembly/random.ts`. */
export function maskArguments(
  { rate, site }: { rate: number; site: number },
): number[] {
  const threshold = Math.floor(rate * 2 ** 32);
  return [DROPOUT_PURPOSE | site << 8, threshold | 0, bits(1 / (1 - rate))];
}

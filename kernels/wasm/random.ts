/** Arguments of kernels with dropout, including attention, for their masks. */

import { bits } from "./step.ts";

/** The purpose of dropout's random bits; see `Purpose` in `kernels/random.ts`. */
const DROPOUT_PURPOSE = 3;

/** Returns purpose and site, threshold, and 1 / (1 - rate): arguments for `factors` in `assembly/random.ts`. */
export function maskArguments(
  { rate, site }: { rate: number; site: number },
): number[] {
  const threshold = Math.floor(rate * 2 ** 32);
  return [DROPOUT_PURPOSE | site << 8, threshold | 0, bits(1 / (1 - rate))];
}

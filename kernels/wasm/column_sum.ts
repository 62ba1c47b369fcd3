/** The sum over rows. */

import type { KernelDims } from "../vocabulary.ts";
import { COLUMN_SUM, SUM_COLUMNS } from "./codes.ts";
import type { Site, Step } from "./step.ts";

/** See {@linkcode KernelDims.columnSum}. */
export function columnSum(
  { rows, N }: KernelDims["columnSum"],
  { outputs, inputs }: Site,
): Step[] {
  return [{
    kernel: COLUMN_SUM,
    units: Math.ceil(N / SUM_COLUMNS),
    args: [...outputs, ...inputs, rows, N],
    work: rows * N,
  }];
}

/** The sum over rows. */

import type { KernelDims } from "../vocabulary.ts";
import {
  COLUMN_SUM,
  COLUMN_SUM_OF_STRETCHES,
  SUM_COLUMNS,
  SUM_ROWS,
} from "./codes.ts";
import type { Site, Step } from "./step.ts";

/** See {@linkcode signatures.columnSum}. */
export function columnSum(
  { rows, N }: KernelDims["columnSum"],
  { outputs: [db], inputs: [dy], shared }: Site,
): Step[] {
  const stretches = Math.ceil(rows / SUM_ROWS);
  const sum = (dy: number, rows: number): Step => ({
    kernel: COLUMN_SUM,
    units: Math.ceil(N / SUM_COLUMNS),
    args: [db!, dy, rows, N],
    work: rows * N,
  });
  if (stretches <= 2) return [sum(dy!, rows)];
  const partial = shared(4 * stretches * N);
  const first: Step = {
    kernel: COLUMN_SUM_OF_STRETCHES,
    units: stretches,
    args: [partial, dy!, rows, N],
    work: rows * N,
  };
  return [first, sum(partial, stretches)];
}

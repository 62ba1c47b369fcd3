/** The sum over rows. */

import {
  COLUMN_SUM,
  COLUMN_SUM_OF_STRETCHES,
  SUM_COLUMNS,
  SUM_ROWS,
} from "./codes.ts";
import type { Address, Site, Step } from "./step.ts";

/** Returns the steps of db[N] += the sum over the rows of dy[rows,N]. */
export function columnSum(
  { rows, N }: { readonly rows: number; readonly N: number },
  { db, dy }: { readonly db: Address; readonly dy: Address },
  { shared }: Site,
): Step[] {
  const stretches = Math.ceil(rows / SUM_ROWS);
  const sum = (dy: number, rows: number): Step => ({
    kernel: COLUMN_SUM,
    units: Math.ceil(N / SUM_COLUMNS),
    args: [db, dy, rows, N],
    work: rows * N,
  });
  if (stretches <= 2) return [sum(dy, rows)];
  const partial = shared(4 * stretches * N);
  const first: Step = {
    kernel: COLUMN_SUM_OF_STRETCHES,
    units: stretches,
    args: [partial, dy, rows, N],
    work: rows * N,
  };
  return [first, sum(partial, stretches)];
}

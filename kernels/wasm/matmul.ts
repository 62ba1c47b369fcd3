/** Matrix products: the right operand is packed, then blocks of the result are shared out. */

import type { KernelDims } from "../vocabulary.ts";
import { DEPTH, MULTIPLY, MULTIPLY_TRANSPOSED, PACK_MATRIX } from "./codes.ts";
import type { Site, Step } from "./step.ts";

/** Columns of a packed panel; see `assembly/tile.ts`. */
const PANEL = 8;

/** Units that a product is cut into where it has the rows and columns: enough for threads to even out. */
const UNITS = 32;

/** See {@linkcode KernelDims.matmul}. */
export function matmul(dims: KernelDims["matmul"], site: Site): Step[] {
  const { form, M, N, K, bias, residual, accumulate } = dims;
  const [y] = site.outputs as [number];
  const [a, b, ...rest] = site.inputs as [number, number, ...number[]];
  const panels = Math.ceil(N / PANEL);
  const packed = site.packed(1, 4 * panels * PANEL * K);
  const pack: Step = {
    kernel: PACK_MATRIX,
    units: panels,
    args: [packed, b, N, K, form === "nt" ? 1 : 0],
    work: N * K,
    packs: 1,
  };
  const biasAt = bias ? rest[0]! : 0;
  const addend = residual ? rest.at(-1)! : accumulate ? y : 0;
  const { rows, columns } = blockOf(form === "tn" ? 12 : 24, { M, N });
  const units = Math.ceil(M / rows) * Math.ceil(N / columns);
  const transposed = form === "tn";
  site.scratch(transposed ? 256 + 4 * rows * DEPTH : 256);
  const multiply: Step = {
    kernel: transposed ? MULTIPLY_TRANSPOSED : MULTIPLY,
    units,
    args: [y, a, packed, biasAt, addend, M, N, K, rows, columns],
    work: M * N * K,
  };
  return [pack, multiply];
}

/** Rows and columns of a unit: `rows` and all columns, or fewer of both where that makes too few units. */
function blockOf(
  rows: number,
  { M, N }: { M: number; N: number },
): { rows: number; columns: number } {
  const down = Math.ceil(M / rows);
  const across = Math.min(Math.ceil(UNITS / down), Math.ceil(N / 32));
  const columns = Math.ceil(N / across / PANEL) * PANEL;
  return { rows, columns };
}

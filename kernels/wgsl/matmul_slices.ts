/**
 * Products whose K is cut into slices: each slice's product goes to a scratch buffer,
 * and a last pass adds them up in order. How a slice's product is computed is the
 * variants' business.
 */

import type { Lowering, Pass, Target } from "./kernel.ts";
import {
  addends,
  type MatmulDims,
  parametersOf,
  widthsOf,
} from "./matmul_product.ts";
import { invocations, type Parameter } from "./pass.ts";

/**
 * No slice is longer. Software Vulkan (llvmpipe) leaves the loops of a shader, without
 * a word, once an invocation has made 65535 turns in them.
 */
export const LONGEST_SLICE = 32768;

/** The fewest slices that K can be cut into. */
export function fewestSlices(K: number): number {
  return Math.ceil(K / LONGEST_SLICE);
}

/** The length of each of `slices` slices but the last, which may be shorter, or empty: a multiple of 16. */
export function sliceLength(K: number, slices: number): number {
  return 16 * Math.ceil(K / slices / 16);
}

/** A pass that computes y[slices,M,N], the product of each slice. */
export type ProductPass = (
  dims: MatmulDims,
  parameters: readonly Parameter[],
) => Pass;

/** A product in slices: in a single one straight into y, else by way of a scratch buffer. */
export function inSlices(
  dims: MatmulDims,
  slices: number,
  target: Target,
  productPass: ProductPass,
): Lowering {
  const operands = parametersOf(dims);
  if (slices === 1) {
    return { passes: [productPass(dims, operands)], scratch: {} };
  }
  const [y, a, b, ...added] = operands as [Parameter, Parameter, Parameter];
  const scratch: Parameter = { ...y, operand: "products" };
  const plain = { ...dims, bias: false, residual: false, accumulate: false };
  return {
    passes: [
      productPass(plain, [scratch, a, b]),
      sumPass(dims, slices, target, [
        y,
        { ...scratch, name: "products", access: "read" },
        ...added,
      ]),
    ],
    scratch: { products: slices * dims.M * dims.N },
  };
}

/** y = the sum of products[slices,M,N] over the slices. */
function sumPass(
  dims: MatmulDims,
  slices: number,
  target: Target,
  parameters: readonly Parameter[],
): Pass {
  const { M, N, accumulate } = dims;
  const { y } = widthsOf(dims);
  const count = M * N / y;
  return invocations({
    target,
    parameters,
    count,
    body: `
var sum = products[i];
for (var slice = 1u; slice < ${slices}u; slice++) {
  sum += products[slice * ${count}u + i];
}
y[i] ${accumulate ? "+=" : "="} sum${
      addends(dims, { column: `i % ${N / y}u`, element: "i" })
    };`,
  });
}

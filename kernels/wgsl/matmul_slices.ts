/**
 * Products whose K is cut into slices: each slice's product goes to a scratch buffer,
 * and a last pass adds them in order. The variants supply the pass that computes the
 * products of the slices.
 */

import { plainProduct } from "../vocabulary.ts";
import type { Lowering, Pass, Target } from "./kernel.ts";
import {
  activationsOf,
  type MatmulDims,
  parametersOf,
  widthsOf,
  writing,
} from "./matmul_product.ts";
import {
  alone,
  invocations,
  type Parameter,
  type Share,
  together,
  vectorOf,
} from "./pass.ts";
import { columnSums } from "./column_sum.ts";
import { MOST_ITERATIONS } from "./text.ts";

/** Returns the fewest slices that K can be cut into. */
export function fewestSlices(K: number): number {
  return Math.ceil(K / MOST_ITERATIONS);
}

/** Returns the length of every one of `slices` slices except the last, which may be shorter or empty. It is a multiple of 16. */
export function sliceLength(K: number, slices: number): number {
  return 16 * Math.ceil(K / slices / 16);
}

/** A function that returns the share of a pass that computes y[slices,count,M,N], the products of each slice. */
export type ProductShare = (
  dims: MatmulDims,
  parameters: readonly Parameter[],
) => Share;

/** Returns the passes of a product in slices. A single slice is written directly to y; several go to a scratch buffer first. */
export function inSlices(
  dims: MatmulDims,
  slices: number,
  target: Target,
  productShare: ProductShare,
): Lowering {
  const operands = parametersOf(dims).filter(({ name }) => name !== "db");
  const productPass = (dims: MatmulDims, parameters: readonly Parameter[]) =>
    withSums(productShare(dims, parameters), dims, target);
  if (slices === 1) {
    return { passes: [productPass(dims, operands)], scratch: {} };
  }
  const factors = operands.filter(({ name }) => "ab".includes(name));
  const others = operands.filter((operand) => !factors.includes(operand));
  const scratch: Parameter = { ...operands[0]!, operand: "products" };
  const { form, count, M, N, K, sums } = dims;
  const plain = { ...plainProduct, form, count, M, N, K, sums };
  return {
    passes: [
      productPass(plain, [scratch, ...factors]),
      sumPass(dims, slices, target, [
        { ...scratch, name: "products", access: "read" },
        ...others,
      ]),
    ],
    scratch: { products: slices * count * M * N },
  };
}

/** Returns the pass of a product and, if the dispatch has them, of the sums over the rows of a. */
function withSums(product: Share, dims: MatmulDims, target: Target): Pass {
  if (!dims.sums) return alone(product);
  const a = product.parameters.find(({ name }) => name === "a")!;
  const sums = columnSums({
    ...{ rows: dims.K, N: dims.M, size: product.size! },
    ...{ outputs: ["db"], inputs: [a], terms: ["a[k]"] },
  }, target);
  return together(sums, product);
}

/** Returns the pass that computes y = the sum of products[slices,count,M,N] over the slices. */
function sumPass(
  dims: MatmulDims,
  slices: number,
  target: Target,
  parameters: readonly Parameter[],
): Pass {
  const { M, N } = dims;
  const { y } = widthsOf(dims);
  const count = dims.count * M * N / y;
  return invocations({
    target,
    parameters,
    count,
    declarations: activationsOf(dims, vectorOf(y)),
    body: `
var sum = products[i];
for (var slice = 1u; slice < ${slices}u; slice++) {
  sum += products[slice * ${count}u + i];
}
${writing("sum", dims, { column: `bias[i % ${N / y}u]`, element: "i" })}`,
  });
}

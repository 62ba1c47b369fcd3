/**
 * What every variant of the matrix product needs: its operands, and the width of
 * the elements in which each is read. The variants are in the files beside this one.
 */

import type { KernelDims } from "../vocabulary.ts";
import { lanesOf, operandsOf, type Parameter, vectorOf } from "./pass.ts";

/** Dims of a product. */
export type MatmulDims = KernelDims["matmul"];

/** How many numbers an element of each operand holds: 4 (`vec4f`) where its rows divide into fours, else 1. */
export interface Widths {
  readonly a: 1 | 4;
  readonly b: 1 | 4;
  readonly y: 1 | 4;
}

/** The widths of a product's operands. */
export function widthsOf({ form, M, N, K }: MatmulDims): Widths {
  return {
    a: lanesOf(form === "tn" ? M : K),
    b: lanesOf(form === "nt" ? K : N),
    y: lanesOf(N),
  };
}

/** The operands of a product, in the vocabulary's order. */
export function parametersOf(dims: MatmulDims): Parameter[] {
  const { a, b, y } = widthsOf(dims);
  const elements = { f32: vectorOf(y), a: vectorOf(a), b: vectorOf(b) };
  return operandsOf("matmul", dims, elements);
}

/** ` + bias[column] + residual[element]`: what an element of y has besides its sum. */
export function addends(
  { bias, residual }: Pick<MatmulDims, "bias" | "residual">,
  { column, element }: { readonly column: string; readonly element: string },
): string {
  return (bias ? ` + bias[${column}]` : "") +
    (residual ? ` + residual[${element}]` : "");
}

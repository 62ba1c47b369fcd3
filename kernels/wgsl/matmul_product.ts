/**
 * The part that all variants of the matrix product share: the operands, and the width
 * of the elements of each. The variants are in the files beside this one.
 */

import type { KernelDims } from "../vocabulary.ts";
import { activationTexts } from "./activation.ts";
import { lanesOf, operandsOf, type Parameter, vectorOf } from "./pass.ts";
import { f32 } from "./text.ts";

/** Dims of a product. */
export type MatmulDims = KernelDims["matmul"];

/** The number of numbers in an element of each operand: 4 (`vec4f`) if the length of its rows is a multiple of 4, else 1. */
export interface Widths {
  readonly a: 1 | 4;
  readonly b: 1 | 4;
  readonly y: 1 | 4;
}

/** Returns the widths of a product's operands. */
export function widthsOf({ form, M, N, K }: MatmulDims): Widths {
  return {
    a: lanesOf(form === "tn" ? M : K),
    b: lanesOf(form === "nt" ? K : N),
    y: lanesOf(N),
  };
}

/** Returns the operands of a product, in the vocabulary's order. */
export function parametersOf(dims: MatmulDims): Parameter[] {
  const { a, b, y } = widthsOf(dims);
  const elements = { f32: vectorOf(y), a: vectorOf(a), b: vectorOf(b) };
  return operandsOf("matmul", dims, elements);
}

/**
 * Returns the WGSL statement that writes an element of y and what follows from it: of `alpha * sum + bias[column] +
 * beta * residual[element]`, as far as the product has these terms, times the slope or with the activation.
 */
export function writing(
  sum: string,
  { alpha, beta, bias, residual, accumulate, activation, slope }: MatmulDims,
  { column, element }: { readonly column: string; readonly element: string },
): string {
  const result = weighed(alpha, sum) +
    (bias ? ` + ${column}` : "") +
    (residual ? ` + ${weighed(beta, `residual[${element}]`)}` : "");
  if (activation !== null) {
    return `{ let h = ${result}; y[${element}] = h; z[${element}] = value(h); }`;
  }
  return slope === null
    ? `y[${element}] ${accumulate ? "+=" : "="} ${result};`
    : `y[${element}] = (${result}) * slope(x[${element}]);`;
}

/** Returns the WGSL functions that {@linkcode writing} calls, for elements of type `F`. */
export function activationsOf(
  { activation, slope }: MatmulDims,
  F: string,
): string {
  const kind = activation ?? slope;
  return kind === null ? "" : `alias F = ${F};\n${activationTexts[kind]}`;
}

/** Returns the WGSL text of a term with a factor. */
function weighed(factor: number, term: string): string {
  return factor === 1 ? term : `${f32(factor)} * ${term}`;
}

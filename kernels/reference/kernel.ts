/**
 * What a kernel of the reference backend is: a function of outputs, inputs and
 * dims in the vocabulary's order, on float64 memory. The kernels themselves stand
 * beside this file, by topic; `registry.ts` lists them.
 */

import type { KernelDims, KernelName } from "../vocabulary.ts";

/** Memory of an `f32` operand. */
export type F64 = Float64Array;

/** Memory of an `i32` operand. */
export type I32 = Int32Array;

/**
 * One kernel. Each declares its operands as tuples; `never` lets functions with
 * different tuples stand in one table. `checkPlan` has checked count, dtype and
 * length of what is passed before a kernel runs.
 */
export type ReferenceKernel<Name extends KernelName> = (
  outputs: never,
  inputs: never,
  dims: KernelDims[Name],
) => void;

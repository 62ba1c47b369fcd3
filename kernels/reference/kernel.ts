/**
 * The type of kernels of the reference backend: functions of outputs, inputs and
 * dims in the vocabulary's order, on float64 memory. The kernels themselves are in
 * the files beside this one, by topic; `registry.ts` lists them.
 */

import type { KernelDims, KernelName } from "../vocabulary.ts";

/** Memory of an `f32` operand. */
export type F64 = Float64Array;

/** Memory of an `i32` operand. */
export type I32 = Int32Array;

/**
 * One kernel. Each kernel declares its operands as tuples; `never` allows functions with
 * different tuples in one record. Before a kernel runs, `checkPlan` has checked the count,
 * dtype and length of its operands.
 */
export type ReferenceKernel<Name extends KernelName> = (
  outputs: never,
  inputs: never,
  dims: KernelDims[Name],
) => void;

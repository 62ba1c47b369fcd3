/**
 * Plans: computations as frozen plain data. A plan has buffers with names and sizes,
 * and a flat list of dispatches in the order they run. `kernels/vocabulary.ts`
 * defines what a dispatch computes; each backend decides how.
 */

import type { KernelDims, KernelName } from "../../kernels/vocabulary.ts";

/** Element type of a buffer. The reference backend holds `f32` as float64. */
export type DType = "f32" | "i32";

/**
 * Purpose of a buffer.
 *
 * - `slot`: transient memory, reused by several tensors within one run.
 * - `store`: memory that outlives the plan and that plans share by name: parameters,
 *   gradients, moments, caches, constants, losses.
 * - `input`: memory that the host writes before a run; it keeps its content between runs.
 * - `output`: memory that a run writes, readable until the next run.
 */
export type BufferKind = "slot" | "store" | "input" | "output";

/** One buffer of a plan. */
export interface BufferSpec {
  /** Name, unique within the plan. */
  readonly name: string;
  readonly kind: BufferKind;
  readonly dtype: DType;
  /** Number of elements. */
  readonly length: number;
}

/** A range of a buffer. Offsets into stores are multiples of 64 elements (256 bytes, WebGPU's alignment). */
export interface Operand {
  /** Index into {@linkcode Plan.buffers}. */
  readonly buffer: number;
  /** Offset in elements of the buffer. */
  readonly offset: number;
  /** Length in elements of the operand. */
  readonly length: number;
  /** `f16` for float16, two to a 32-bit word of a slot of dtype `f32`, in even number; if left out, the elements are the buffer's. */
  readonly dtype?: "f16";
}

/** Returns the length of an operand in elements of its buffer. */
export function extentOf({ dtype, length }: Operand): number {
  return dtype === "f16" ? length / 2 : length;
}

/** One kernel and its operands, in the order of the vocabulary. */
export type Dispatch = {
  readonly [Name in KernelName]: {
    readonly kernel: Name;
    readonly outputs: readonly Operand[];
    readonly inputs: readonly Operand[];
    readonly dims: KernelDims[Name];
    /** Part of the model, e.g. `h.0.attn.c_attn`; for messages and profiles. */
    readonly label: string;
  };
}[KernelName];

/** A compiled graph. */
export interface Plan {
  /** Name of the plan: `train`, `eval`, `prefill`, `decode`, or any name in tests. */
  readonly name: string;
  readonly buffers: readonly BufferSpec[];
  readonly dispatches: readonly Dispatch[];
  /** Named ranges [from, to) of `dispatches` that can be run separately. */
  readonly phases: Readonly<
    Record<string, readonly [from: number, to: number]>
  >;
}

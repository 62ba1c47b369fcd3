/**
 * A Plan: what to compute, as frozen plain data. Buffers by name and size, and a
 * flat list of dispatches in the order they run. How a dispatch is computed is a
 * backend's business; what it means is written in `kernels/vocabulary.ts`.
 */

import type { KernelDims, KernelName } from "../../kernels/vocabulary.ts";

/** Element type of a buffer. The reference backend holds `f32` as float64. */
export type DType = "f32" | "i32";

/**
 * What a buffer is for.
 *
 * - `slot`: transient memory, reused within one run by several tensors in turn.
 * - `store`: outlives the plan and is shared between plans by its name: parameters,
 *   gradients, moments, caches, constants, losses.
 * - `input`: written by the host before a run; keeps its content between runs.
 * - `output`: computed by a run and readable after it, until the next run.
 */
export type BufferKind = "slot" | "store" | "input" | "output";

/** One buffer of a plan. */
export interface BufferSpec {
  /** Unique within the plan. */
  readonly name: string;
  readonly kind: BufferKind;
  readonly dtype: DType;
  /** Number of elements. */
  readonly length: number;
}

/** A stretch of a buffer. Offsets into stores are multiples of 64 elements (256 bytes, WebGPU's alignment). */
export interface Operand {
  /** Index into {@linkcode Plan.buffers}. */
  readonly buffer: number;
  /** In elements. */
  readonly offset: number;
  /** In elements. */
  readonly length: number;
}

/** One kernel to run, on which operands. Operands follow the order of the vocabulary. */
export type Dispatch = {
  readonly [Name in KernelName]: {
    readonly kernel: Name;
    readonly outputs: readonly Operand[];
    readonly inputs: readonly Operand[];
    readonly dims: KernelDims[Name];
    /** Which part of the model this belongs to, e.g. `h.0.attn.c_attn`; for people and profiles. */
    readonly label: string;
  };
}[KernelName];

/** A compiled graph. */
export interface Plan {
  /** `train`, `eval`, `prefill` or `decode`, or what a test calls it. */
  readonly name: string;
  readonly buffers: readonly BufferSpec[];
  readonly dispatches: readonly Dispatch[];
  /** Named stretches [from, to) of `dispatches` that can be run apart. */
  readonly phases: Readonly<
    Record<string, readonly [from: number, to: number]>
  >;
}

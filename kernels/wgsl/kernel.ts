/**
 * The types of WGSL builders, which turn one dispatch into compute passes, as plain
 * text and numbers. The builders, in the files beside this one, use no device.
 */

import type { KernelDims, KernelName } from "../vocabulary.ts";

/** Features of WebGPU that a pass may use where the adapter has them, and the extension of WGSL that each enables. */
export const extensions = {
  "shader-f16": "f16",
  "subgroups": "subgroups",
  "chromium-experimental-subgroup-matrix":
    "chromium_experimental_subgroup_matrix",
} as const;

/** The name of an optional feature. */
export type Feature = keyof typeof extensions;

/** The feature of products of small matrices by a subgroup. */
export const MATRICES = "chromium-experimental-subgroup-matrix";

/** The shape of matrices that a subgroup multiplies at once: sums[M,N] += a[M,K] · b[K,N], with sums in float32. */
export interface MatrixShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** The type of the elements of a and b. */
  readonly element: "f32" | "f16";
}

/** Properties of the adapter that select the variant of a kernel. */
export interface Target {
  /**
   * The memory of tiles: `register` for a software adapter, where register tiles straight
   * from storage are fastest; `workgroup` for hardware, where tiles in workgroup memory are.
   */
  readonly tiling: "register" | "workgroup";
  /** `maxComputeWorkgroupStorageSize`, in bytes. */
  readonly workgroupStorage: number;
  /** `maxComputeInvocationsPerWorkgroup`. */
  readonly invocations: number;
  /** `maxComputeWorkgroupsPerDimension`. */
  readonly workgroupsPerDimension: number;
  /** `maxStorageBufferBindingSize`, in bytes. */
  readonly bindingSize: number;
  /** The optional features of the adapter. */
  readonly features: readonly Feature[];
  /** Features whose directive the compiler does not take, because it knows the operations without it; none if left out. */
  readonly undeclared?: readonly Feature[] | undefined;
  /** The matrices that subgroups multiply, and the most invocations of a subgroup; left out without the feature. */
  readonly matrices?: {
    readonly shapes: readonly MatrixShape[];
    readonly subgroup: number;
  } | undefined;
  /** Variants that were measured to be the fastest on this adapter, by the name of a product or {@linkcode ROWS}. See `matmul_variants.ts` and `subgroups.ts`. */
  readonly products?: Readonly<Record<string, string>> | undefined;
}

/** The name under which a table has the variant of reductions of rows. */
export const ROWS = "rows";

/** Limits that every WebGPU adapter has at least, without optional features. */
export const leastTarget: Omit<Target, "tiling"> = {
  workgroupStorage: 16384,
  invocations: 256,
  workgroupsPerDimension: 65535,
  bindingSize: 2 ** 27,
  features: [],
};

/** A part of an operand, in 32-bit words. */
export interface Range {
  /** A multiple of 64, which every adapter binds at. */
  readonly offset: number;
  readonly length: number;
}

/** The use of one buffer by a pass. */
export interface Binding {
  /** The name of the operand in the vocabulary, or of the scratch buffer. */
  readonly operand: string;
  readonly access: "read" | "read_write";
  /** The part of the operand to bind; the whole operand if left out. */
  readonly range?: Range | undefined;
}

/** One compute pass. Binding i of group 0 is `bindings[i]`; the entry point is `main`. */
export interface Pass {
  readonly code: string;
  readonly bindings: readonly Binding[];
  readonly workgroups: readonly [x: number, y: number, z: number];
}

/** A dispatch in WGSL: its passes, run in order. */
export interface Lowering {
  readonly passes: readonly Pass[];
  /** Lengths, in 32-bit words, of private buffers that the passes share, by name. */
  readonly scratch: Readonly<Record<string, number>>;
}

/** A function that returns the passes of a kernel with these dims. */
export type Builder<Name extends KernelName> = (
  dims: KernelDims[Name],
  target: Target,
) => Lowering;

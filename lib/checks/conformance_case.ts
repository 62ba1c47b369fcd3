/** Cases of the conformance suite, and helpers to write lists of cases. */

import type { KernelDims, KernelName } from "../../kernels/vocabulary.ts";

/** One kernel with its dims and operand values. */
export type Case = {
  readonly [Name in KernelName]: {
    readonly kernel: Name;
    readonly dims: KernelDims[Name];
    /** Values of some operands, by name. */
    readonly values?: Readonly<Record<string, readonly number[]>>;
    /** True if the operands are stored as float16 that may be. */
    readonly halves?: boolean;
    /** Note that distinguishes the case from others with the same dims. */
    readonly note?: string;
    /** Indices of output elements that the vocabulary leaves unspecified. */
    readonly unspecified?: Readonly<Record<string, readonly number[]>>;
  };
}[KernelName];

/** More elements than 65535 workgroups of 64 threads cover, so the grid needs a second dimension. */
export const MANY: number = 65536 * 64 + 1;

/**
 * More rows than the limit of 65535 workgroups in one dimension of a grid. It also exceeds the
 * number of iterations after which Mesa's llvmpipe silently leaves a loop.
 */
export const MANY_ROWS = 65539;

/** Returns one case for each of the dims. */
export function each<Name extends KernelName>(
  kernel: Name,
  dims: readonly KernelDims[Name][],
): Case[] {
  return dims.map((dims) => ({ kernel, dims }) as unknown as Case);
}

/** Returns the dims combined with each combination of flags. */
export function vary<Dims extends object, Flags extends object>(
  dims: readonly Dims[],
  flags: readonly Flags[],
): (Dims & Flags)[] {
  return dims.flatMap((dims) => flags.map((flag) => ({ ...dims, ...flag })));
}

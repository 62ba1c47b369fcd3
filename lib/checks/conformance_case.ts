/** What a case of the conformance suite is, and how lists of them are written. */

import type { KernelDims, KernelName } from "../../kernels/vocabulary.ts";

/** One kernel with certain dims on certain numbers. */
export type Case = {
  readonly [Name in KernelName]: {
    readonly kernel: Name;
    readonly dims: KernelDims[Name];
    /** What some operands hold, by their names. */
    readonly values?: Readonly<Record<string, readonly number[]>>;
    /** What tells this case from another with the same dims. */
    readonly note?: string;
    /** Elements of outputs about which the vocabulary says nothing. */
    readonly unspecified?: Readonly<Record<string, readonly number[]>>;
  };
}[KernelName];

/** More elements than 65535 workgroups of 64 threads have: a grid must fold. */
export const MANY: number = 65536 * 64 + 1;

/**
 * More rows than the 65535 workgroups that one dimension of a grid may have. It also is more
 * than the iterations after which Mesa's llvmpipe silently leaves a loop.
 */
export const MANY_ROWS = 65539;

/** A case for each of these dims. */
export function each<Name extends KernelName>(
  kernel: Name,
  dims: readonly KernelDims[Name][],
): Case[] {
  return dims.map((dims) => ({ kernel, dims }) as unknown as Case);
}

/** The dims with each combination of the flags' values. */
export function vary<Dims extends object, Flags extends object>(
  dims: readonly Dims[],
  flags: readonly Flags[],
): (Dims & Flags)[] {
  return dims.flatMap((dims) => flags.map((flag) => ({ ...dims, ...flag })));
}

/**
 * The steps of a dispatch on the wasm engine: each step is a kernel with its arguments,
 * and the number of units that the threads divide among themselves.
 */

import type { KernelDims, KernelName } from "../vocabulary.ts";
import {
  BLOCK,
  FORM_NN,
  FORM_NT,
  FORM_TN,
  RECORD_ARGUMENTS,
  RECORD_TAKEN,
} from "./codes.ts";

/** The numbers of a product's forms. */
export const forms: Readonly<
  Record<KernelDims["matmul"]["form"], number>
> = { nn: FORM_NN, nt: FORM_NT, tn: FORM_TN };

/** A byte address in the engine's memory, a multiple of 64. */
export type Address = number;

/** One step of a dispatch. */
export interface Step {
  /** The kernel's number in `codes.ts`. */
  readonly kernel: number;
  /** Indivisible parts of the work; at least 1. Threads compute different units, so no unit may depend on another. */
  readonly units: number;
  /** Units that a thread takes at a time; 1 if left out. */
  readonly grain?: number;
  /** 32-bit words: addresses, integers, and numbers converted by {@linkcode bits}. */
  readonly args: readonly number[];
  /** The approximate number of multiplications and additions, which decides if other threads are woken. */
  readonly work: number;
  /** The index of the input, if all that this step does is reorder it; see {@linkcode Site.packed}. */
  readonly packs?: number;
}

/** The properties of a BLAS that decide how it is called. */
export interface BlasTraits {
  /** The most multiplications and additions of a product that the library computes from operands where they are; 0 if it first packs those of every product. */
  readonly unpacked: number;
}

/** The operands of a dispatch, and allocators for its other memory. */
export interface Site {
  readonly outputs: readonly Address[];
  readonly inputs: readonly Address[];
  /** The machine's BLAS if the threads can call one. */
  readonly blas: BlasTraits | undefined;
  /** Allocates memory with these numbers, as f32, that lives as long as the program. */
  constants(values: readonly number[]): Address;
  /** Allocates memory that all threads share until the end of the dispatch. */
  shared(bytes: number): Address;
  /** Makes sure that each thread has at least `bytes` of its own scratch memory. */
  scratch(bytes: number): void;
  /**
   * Allocates memory for a reordered copy of an input, which steps with `packs` fill. If the input is a store
   * that changes between runs only, all programs share the copy, and these steps run only after the store changed. In a plan that
   * reads prompts, a copy of more than {@linkcode MOST_COPIED} bytes does not outlast the dispatch.
   *
   * @param order the name of the order: copies with the same name are filled by the same step with the same content
   */
  packed(input: number, order: string, bytes: number): Address;
}

/** The most bytes of a reordered copy that stays in memory: copies of all weights would double a large model's memory. */
export const MOST_COPIED: number = 2 ** 21;

/** A function that turns one dispatch of a kernel into steps. */
export type Builder<Name extends KernelName> = (
  dims: KernelDims[Name],
  site: Site,
) => Step[];

const word = new DataView(new ArrayBuffer(4));

/** Returns the 32 bits of a number in single precision, as an argument. */
export function bits(value: number): number {
  word.setFloat32(0, value);
  return word.getInt32(0);
}

/**
 * Returns the step of a kernel that computes each element of `count` arrays of n elements independently. Its arguments
 * are the operands, n and then `dims`. A unit is BLOCK elements of one array.
 */
export function elementwise(
  kernel: number,
  { outputs, inputs }: Site,
  { count = 1, n, work, dims = [] }: {
    readonly count?: number;
    readonly n: number;
    readonly work: number;
    readonly dims?: readonly number[];
  },
): Step[] {
  const args = [...outputs, ...inputs, n, ...dims];
  return [{ kernel, units: count * Math.ceil(n / BLOCK), args, work }];
}

/** Returns the number of rows of `length` elements that fit in a block; at least one. */
export function rowsOfBlock(length: number): number {
  return Math.max(1, Math.floor(BLOCK / length));
}

/** Returns the units of a kernel that computes each row independently, and the rows in each unit. */
export function rowBlocks(
  rows: number,
  length: number,
): { units: number; perUnit: number } {
  const perUnit = rowsOfBlock(length);
  return { units: Math.ceil(rows / perUnit), perUnit };
}

/** The most arguments that fit a record. */
export const MOST_ARGUMENTS: number = (RECORD_TAKEN - RECORD_ARGUMENTS) / 4;

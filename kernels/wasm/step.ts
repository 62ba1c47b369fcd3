/**
 * What a plan's dispatch becomes on the wasm engine: a few steps, each a kernel with
 * its arguments and the number of units that threads share out among themselves.
 */

import type { KernelDims, KernelName } from "../vocabulary.ts";
import { BLOCK, RECORD_ARGUMENTS, RECORD_BYTES } from "./codes.ts";

/** A byte address in the engine's memory, a multiple of 64. */
export type Address = number;

/** One step. */
export interface Step {
  /** Its number in `codes.ts`. */
  readonly kernel: number;
  /** Indivisible parts; at least 1. Every thread takes some, so none may depend on another. */
  readonly units: number;
  /** Units that a thread takes at a time; 1 if left out. */
  readonly grain?: number;
  /** 32-bit words: addresses, integers, and numbers as {@linkcode bits} makes them. */
  readonly args: readonly number[];
  /** About how many multiplications and additions it takes: is it worth waking another thread? */
  readonly work: number;
  /** The input that this step only brings into another order; see {@linkcode Site.packed}. */
  readonly packs?: number;
}

/** What a builder knows of the place where its dispatch runs. */
export interface Site {
  readonly outputs: readonly Address[];
  readonly inputs: readonly Address[];
  /** Memory with these numbers, as f32, that lives as long as the program. */
  constants(values: readonly number[]): Address;
  /** Memory that all threads share until the end of the dispatch. */
  shared(bytes: number): Address;
  /** Makes sure that each thread has that much scratch memory of its own. */
  scratch(bytes: number): void;
  /**
   * Memory for a reordered copy of an input. Steps with `packs` fill it; where the input is
   * a store that changes between runs only, they are left out until it does, and all programs share the copy.
   *
   * @param order names the order: with the same name, the same step fills it with the same content
   */
  packed(input: number, order: string, bytes: number): Address;
}

/** How one kernel of the vocabulary becomes steps. */
export type Builder<Name extends KernelName> = (
  dims: KernelDims[Name],
  site: Site,
) => Step[];

const word = new DataView(new ArrayBuffer(4));

/** The 32 bits of a number in single precision, as an argument. */
export function bits(value: number): number {
  word.setFloat32(0, value);
  return word.getInt32(0);
}

/** The step of a kernel that treats each of n elements alone. Its arguments are the operands, n and then `dims`. */
export function elementwise(
  kernel: number,
  { outputs, inputs }: Site,
  { n, work, dims = [] }: {
    readonly n: number;
    readonly work: number;
    readonly dims?: readonly number[];
  },
): Step[] {
  const args = [...outputs, ...inputs, n, ...dims];
  return [{ kernel, units: Math.ceil(n / BLOCK), args, work }];
}

/** Rows of `length` elements that make about a block; at least one. */
export function rowsOfBlock(length: number): number {
  return Math.max(1, Math.floor(BLOCK / length));
}

/** Units of a kernel that treats each row alone, some rows at a time. */
export function rowBlocks(
  rows: number,
  length: number,
): { units: number; perUnit: number } {
  const perUnit = rowsOfBlock(length);
  return { units: Math.ceil(rows / perUnit), perUnit };
}

/** The most arguments that fit a record. */
export const MOST_ARGUMENTS: number = (RECORD_BYTES - RECORD_ARGUMENTS) / 4;

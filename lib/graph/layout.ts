/**
 * Offsets of parameters in the flat stores `params`, `grads`, `m` and `v`, each of
 * which the optimizer processes as one array.
 */

import { type Graph, type Init, sizeOf } from "./tensor.ts";

/** Position of one parameter in the stores. */
export interface LayoutEntry {
  readonly name: string;
  readonly shape: readonly number[];
  /** Offset in elements, a multiple of {@linkcode ALIGNMENT}. */
  readonly offset: number;
  readonly length: number;
  readonly init: Init;
}

/** Positions of all parameters: matrices first, then vectors, each in order of declaration. */
export interface ParameterLayout {
  readonly entries: readonly LayoutEntry[];
  /** Elements in a store, including padding. */
  readonly length: number;
  /** Elements of the leading range that contains the matrices. */
  readonly matrices: number;
  /** Elements without padding: the model's number of parameters. */
  readonly count: number;
}

/** Alignment of parameters in elements: WebGPU binds storage at multiples of 256 bytes. */
export const ALIGNMENT = 64;

/** Lays out the parameters that a graph declares. */
export function layoutParameters(graph: Graph): ParameterLayout {
  const matrices = graph.parameters.filter(({ shape }) => shape.length >= 2);
  const vectors = graph.parameters.filter(({ shape }) => shape.length < 2);
  const entries: LayoutEntry[] = [];
  let offset = 0;
  let matrixEnd = 0;
  let count = 0;
  for (const { name, shape, storage } of [...matrices, ...vectors]) {
    if (storage.kind !== "parameter") continue;
    const length = sizeOf(shape);
    entries.push({ name, shape, offset, length, init: storage.init });
    offset += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    count += length;
    if (shape.length >= 2) matrixEnd = offset;
  }
  return { entries, length: offset, matrices: matrixEnd, count };
}

/**
 * Matrices that Muon orthogonalizes. They do not depend on one another, so a thread can take one through all products of the
 * iteration, without waiting for other threads after each and without reading what other threads wrote.
 */

import { operandShapes } from "../../../kernels/vocabulary.ts";
import type { Dispatch, Operand, Plan } from "../../graph/plan.ts";

/** The dispatches that update one matrix. */
export interface MatrixUpdate {
  /** The dispatches for this matrix alone; their tensors in {@linkcode MatrixUpdate.slots} begin where the slots do. */
  readonly dispatches: readonly Dispatch[];
  /** The index in the plan of the first one, which is there for all matrices of the same shape. */
  readonly from: number;
  /** The numbers that they need of each slot that they write, by index into {@linkcode Plan.buffers}. */
  readonly slots: ReadonlyMap<number, number>;
}

/** Dispatches [from, to) of a plan, as the updates of single matrices. */
export interface MatrixUpdates {
  readonly from: number;
  readonly to: number;
  /** The updates, of large matrices first, so that threads end at about the same time. */
  readonly updates: readonly MatrixUpdate[];
}

/** The most numbers in slots for all matrices. Threads that wait cost larger matrices little. */
const MOST_NUMBERS = 2 ** 20;

/** Returns the updates of Muon's matrices among the dispatches [from, to) of a plan; undefined if there are none, or if they are large. */
export function matricesOf(
  { dispatches, buffers }: Pick<Plan, "dispatches" | "buffers">,
  { from, to }: { readonly from: number; readonly to: number },
): MatrixUpdates | undefined {
  const begins = (at: number) =>
    at < to && dispatches[at]!.kernel === "momentum" &&
    dispatches[at + 2]?.kernel === "normalize";
  let end = from;
  while (end < to && !begins(end)) end++;
  if (end === to) return undefined;
  const begin = end;
  const updates: MatrixUpdate[] = [];
  while (begins(end)) {
    const first = end;
    while (dispatches[end++]!.kernel !== "descend");
    const batch = dispatches.slice(first, end);
    const { count } = batch[0]!.dims as { readonly count: number };
    for (let matrix = 0; matrix < count; matrix++) {
      const slots = new Map<number, number>();
      const own = batch.map((dispatch) => {
        for (const { buffer, length } of dispatch.outputs) {
          if (buffers[buffer]!.kind !== "slot") continue;
          slots.set(buffer, Math.max(slots.get(buffer) ?? 0, length / count));
        }
        return ofMatrix(dispatch, { matrix, count, slots });
      });
      updates.push({ dispatches: own, from: first, slots });
    }
  }
  const numbers = updates.flatMap(({ slots }) => [...slots.values()])
    .reduce((sum, length) => sum + length, 0);
  if (numbers > MOST_NUMBERS) return undefined;
  const sizeOf = ({ dispatches: [first] }: MatrixUpdate) =>
    first!.outputs[0]!.length;
  updates.sort((a, b) => sizeOf(b) - sizeOf(a));
  return { from: begin, to: end, updates };
}

/** Returns a dispatch for one of `count` matrices. */
function ofMatrix(
  dispatch: Dispatch,
  { matrix, count, slots }: {
    readonly matrix: number;
    readonly count: number;
    readonly slots: ReadonlyMap<number, number>;
  },
): Dispatch {
  const { kernel } = dispatch;
  const dims = kernel === "squareSum"
    ? { n: dispatch.dims.n / count, parts: dispatch.dims.parts / count }
    : { ...dispatch.dims, count: 1 };
  const { stride } = dispatch.dims as { readonly stride?: number };
  const shapes = operandShapes(kernel, dims as never);
  const lengths = [...shapes.outputs, ...shapes.inputs];
  const operands = [...dispatch.outputs, ...dispatch.inputs].map(
    (operand, i): Operand => {
      const { buffer, offset } = operand;
      const { length } = lengths[i]!;
      if (slots.has(buffer)) return { buffer, offset: 0, length };
      // All matrices read the learning rate and the factor of clipping.
      if (length === operand.length) return operand;
      return { buffer, offset: offset + matrix * stride!, length };
    },
  );
  const outputs = dispatch.outputs.length;
  return {
    ...dispatch,
    dims,
    outputs: operands.slice(0, outputs),
    inputs: operands.slice(outputs),
  } as Dispatch;
}

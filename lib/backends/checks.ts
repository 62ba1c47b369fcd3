/** What every backend refuses, in the same words: plans that do not keep to the vocabulary, stores that do not fit, stretches that reach out of a buffer. */

import { type OperandShape, operandShapes } from "../../kernels/vocabulary.ts";
import type { BufferSpec, Dispatch, Operand, Plan } from "../graph/plan.ts";
import type { DeviceBuffer, Stores } from "./backend.ts";

/**
 * The store that a plan names, if there is one.
 *
 * @param isOwn whether a buffer is the backend's own
 * @throws {TypeError} if it belongs to another backend
 * @throws {RangeError} if it has another length or dtype
 */
export function knownStore<Own extends DeviceBuffer>(
  spec: BufferSpec,
  stores: Stores,
  isOwn: (buffer: DeviceBuffer) => buffer is Own,
): Own | undefined {
  const known = stores.get(spec.name);
  if (known === undefined) return undefined;
  if (!isOwn(known)) {
    throw new TypeError(
      `Cannot use store ${spec.name}: it belongs to another backend`,
    );
  }
  const { dtype, length } = known.spec;
  if (dtype === spec.dtype && length === spec.length) return known;
  throw new RangeError(
    `Cannot use store ${spec.name}: it holds ${length} ${dtype} and the plan wants ${spec.length} ${spec.dtype}`,
  );
}

/**
 * Returns the bytes that the buffers of plans take: each plan's own, and once each store that there is not yet.
 *
 * @param stores what there is; if left out, nothing
 */
export function bufferBytes(
  plans: readonly Plan[],
  stores: Stores | undefined,
  bytesOf: (spec: BufferSpec) => number,
): number {
  const missing = new Map<string, number>();
  let own = 0;
  for (const spec of plans.flatMap(({ buffers }) => buffers)) {
    if (spec.kind !== "store") own += bytesOf(spec);
    else if (!stores?.has(spec.name)) missing.set(spec.name, bytesOf(spec));
  }
  return missing.values().reduce((sum, bytes) => sum + bytes, own);
}

/**
 * Refuses elements of a buffer that it does not have.
 *
 * @param verb what is to be done with them
 * @throws {RangeError}
 */
export function checkStretch(
  verb: "read" | "write",
  { name, length: whole }: BufferSpec,
  offset: number,
  length: number,
): void {
  if (offset >= 0 && length >= 0 && offset + length <= whole) return;
  throw new RangeError(
    `Cannot ${verb} ${name}: elements ${offset} to ${
      offset + length
    } are not within its ${whole}`,
  );
}

/**
 * Refuses dispatches whose operands reach out of their buffers, or do not have the number, dtypes and lengths that their dims ask for.
 *
 * @throws {RangeError}
 */
export function checkPlan({ buffers, dispatches }: Plan): void {
  for (const dispatch of dispatches) {
    const expected = operandShapes(dispatch.kernel, dispatch.dims as never);
    for (const side of ["outputs", "inputs"] as const) {
      for (const operand of dispatch[side]) {
        checkReach(operand, buffers, dispatch);
      }
      checkShapes(dispatch, side, expected[side], buffers);
    }
  }
}

function checkReach(
  { buffer, offset, length }: Operand,
  buffers: readonly BufferSpec[],
  dispatch: Dispatch,
): void {
  const action = `Cannot run ${nameOf(dispatch)}`;
  const spec = buffers[buffer];
  if (!spec) {
    throw new RangeError(
      `${action}: operand names buffer ${buffer} of ${buffers.length}`,
    );
  }
  if (offset >= 0 && length >= 1 && offset + length <= spec.length) return;
  throw new RangeError(
    `${action}: elements ${offset} to ${
      offset + length
    } are not within the ${spec.length} of ${spec.name}`,
  );
}

function checkShapes(
  dispatch: Dispatch,
  side: "outputs" | "inputs",
  wanted: readonly OperandShape[],
  buffers: readonly BufferSpec[],
): void {
  const operands = dispatch[side];
  const problem = `Cannot dispatch ${dispatch.kernel} (${dispatch.label}):`;
  if (operands.length !== wanted.length) {
    throw new RangeError(
      `${problem} it has ${operands.length} ${side}, not ${wanted.length} (${
        wanted.map(({ name }) => name).join(", ")
      })`,
    );
  }
  for (const [index, { name, dtype, length }] of wanted.entries()) {
    const operand = operands[index]!;
    const actual = buffers[operand.buffer]!.dtype;
    if (operand.length !== length || actual !== dtype) {
      throw new RangeError(
        `${problem} ${name} is ${actual}[${operand.length}], not ${dtype}[${length}]`,
      );
    }
  }
}

/** A dispatch in words, for errors and labels. */
export function nameOf({ kernel, label }: Dispatch): string {
  return label === "" ? kernel : `${kernel} (${label})`;
}

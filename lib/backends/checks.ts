/** Plans that every backend refuses, in the same words: those that do not keep to the vocabulary or reach out of a buffer. */

import { type OperandShape, operandShapes } from "../../kernels/vocabulary.ts";
import type { BufferSpec, Dispatch, Operand, Plan } from "../graph/plan.ts";

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

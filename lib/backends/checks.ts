/** Checks that every backend makes of a plan, with the same messages: its dispatches follow the vocabulary and stay inside their buffers. */

import { operandShapes } from "../../kernels/vocabulary.ts";
import { refuser } from "../refusal.ts";
import type { Dispatch, Plan } from "../graph/plan.ts";

/**
 * Checks every dispatch of a plan.
 *
 * @throws {RangeError} if operands of a dispatch reach outside their buffers, or differ in number, dtype or length from what its dims require
 */
export function checkPlan({ buffers, dispatches }: Plan): void {
  for (const dispatch of dispatches) {
    const refuse = refuser(RangeError, `run ${nameOf(dispatch)}`);
    const shapes = operandShapes(dispatch.kernel, dispatch.dims as never);
    for (const side of ["outputs", "inputs"] as const) {
      const [operands, expected] = [dispatch[side], shapes[side]];
      if (operands.length !== expected.length) {
        const names = expected.map(({ name }) => name).join(", ");
        throw refuse(
          `it has ${operands.length} ${side}, not ${expected.length} (${names})`,
        );
      }
      for (const [i, { buffer, offset, length }] of operands.entries()) {
        const spec = buffers[buffer];
        if (!spec) {
          throw refuse(
            `operand names buffer ${buffer} of ${buffers.length}`,
          );
        }
        if (!(offset >= 0 && length >= 1 && offset + length <= spec.length)) {
          throw refuse(
            `elements ${offset} to ${
              offset + length
            } are not within the ${spec.length} of ${spec.name}`,
          );
        }
        const { name, ...shape } = expected[i]!;
        if (shape.length !== length || shape.dtype !== spec.dtype) {
          throw refuse(
            `${name} is ${spec.dtype}[${length}], not ${shape.dtype}[${shape.length}]`,
          );
        }
      }
    }
  }
}

/** Returns the name of a dispatch for errors and labels: its kernel, and its label if it has one. */
export function nameOf({ kernel, label }: Dispatch): string {
  return label === "" ? kernel : `${kernel} (${label})`;
}

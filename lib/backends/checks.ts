/** Checks that every backend makes of a plan, with the same messages: its dispatches follow the vocabulary and stay inside their buffers. */

import { operandShapes } from "../../kernels/vocabulary.ts";
import { refuser } from "../refusal.ts";
import { type Dispatch, extentOf, type Plan } from "../graph/plan.ts";

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
      for (const [i, operand] of operands.entries()) {
        const { buffer, offset, length } = operand;
        const end = offset + extentOf(operand);
        const spec = buffers[buffer];
        if (!spec) {
          throw refuse(
            `operand names buffer ${buffer} of ${buffers.length}`,
          );
        }
        if (!(offset >= 0 && length >= 1 && end <= spec.length)) {
          throw refuse(
            `elements ${offset} to ${end} are not within the ${spec.length} of ${spec.name}`,
          );
        }
        const { name, half, ...shape } = expected[i]!;
        const dtype = operand.dtype ?? spec.dtype;
        const isOwn = spec.kind === "slot" || spec.kind === "output";
        const mayBeHalf = half && isOwn && length % 2 === 0;
        const fits = dtype === shape.dtype || dtype === "f16" && mayBeHalf;
        if (shape.length !== length || !fits || shape.dtype !== spec.dtype) {
          throw refuse(
            `${name} is ${dtype}[${length}], not ${shape.dtype}[${shape.length}]`,
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

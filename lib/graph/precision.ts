/** The choice of the activations that a training step of precision `f16` stores as float16. */

import { operandShapes } from "../../kernels/vocabulary.ts";
import type { LabelledDispatch } from "./autodiff.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Returns the activations of the forward pass that may be float16: those that a kernel computes and other kernels read as
 * operands marked `half` in the vocabulary, none as another operand. So the residual stream, the logits and all statistics stay
 * float32; all gradients do too, since most are smaller than 6.1e-5, where float16 begins to lose digits.
 */
export function halfTensors(
  { forward, backward }: {
    readonly forward: readonly LabelledDispatch[];
    readonly backward: readonly LabelledDispatch[];
  },
): ReadonlySet<Tensor> {
  const halves = new Set<Tensor>();
  const others = new Set<Tensor>();
  for (const [i, dispatch] of [...forward, ...backward].entries()) {
    const shapes = operandShapes(dispatch.kernel, dispatch.dims as never);
    dispatch.outputs.forEach((tensor, o) => {
      // Rows of an even length, so that the rows of a part begin with a word.
      const fits = shapes.outputs[o]!.half && tensor.storage.kind === "slot" &&
        tensor.shape.at(-1)! % 2 === 0;
      (i < forward.length && fits ? halves : others).add(tensor);
    });
    dispatch.inputs.forEach((tensor, o) => {
      if (!shapes.inputs[o]!.half) others.add(tensor);
    });
  }
  return halves.difference(others);
}

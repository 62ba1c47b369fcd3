/**
 * Diagnosis of a training step that is not finite: the step runs again, one dispatch at a
 * time, and the outputs of each dispatch are checked. It works on every backend, since it
 * needs only a plan whose intermediate results can be read.
 */

import {
  OutOfMemoryError,
  type Program,
  type Stores,
} from "../backends/backend.ts";
import type { Model } from "../model/model.ts";
import { parameterStores } from "./optimizer.ts";
import type { Dispatch, Plan } from "../graph/plan.ts";
import { internalsOf } from "../model/internals.ts";

/** Inputs that the host writes before a run, by buffer name. */
export type Inputs = Readonly<Record<string, ArrayLike<number>>>;

/**
 * Describes the first parameter or result in the gradient of a step that is not finite; undefined if everything
 * is finite, or if memory for the check is lacking.
 *
 * Weights do not change. Gradients and the loss are set to 0, since a failed step discards them anyway.
 *
 * @param plan a training plan
 * @param microBatches inputs of each micro-batch of the step, in order
 */
export async function firstNonFinite(
  model: Model,
  plan: Plan,
  microBatches: Iterable<Inputs>,
): Promise<string | undefined> {
  const internals = internalsOf(model);
  const { stores, layout } = internals;
  const weights = await stores.get("params")!.read();
  for (const { name, offset, length } of layout.entries) {
    const parameter = weights.subarray(offset, offset + length);
    if (!parameter.every(Number.isFinite)) return `the parameter ${name}`;
  }
  let program: Program;
  try {
    program = await internals.bind(stepwise(plan));
  } catch (error) {
    if (error instanceof OutOfMemoryError) return undefined;
    throw error;
  }
  try {
    clear(stores);
    for (const inputs of microBatches) {
      for (const [name, values] of Object.entries(inputs)) {
        program.buffer(name).write(values);
      }
      const dispatch = await firstIn(program);
      if (dispatch !== undefined) return nameOf(dispatch);
    }
    return undefined;
  } finally {
    clear(stores);
    program.destroy();
  }
}

/** Returns the gradient phase of a plan, with a phase for each dispatch and readable slots. */
function stepwise(plan: Plan): Plan {
  const dispatches = plan.dispatches.slice(...plan.phases["gradient"]!);
  return {
    name: `${plan.name}, step by step`,
    dispatches,
    buffers: plan.buffers.map((buffer) =>
      buffer.kind === "slot" ? { ...buffer, kind: "output" } : buffer
    ),
    phases: Object.fromEntries(
      dispatches.keys().map((index) => [String(index), [index, index + 1]]),
    ),
  };
}

async function firstIn(program: Program): Promise<Dispatch | undefined> {
  const { dispatches, buffers } = program.plan;
  for (const [index, dispatch] of dispatches.entries()) {
    program.run([String(index)]);
    for (const { buffer, offset, length } of dispatch.outputs) {
      const { name } = buffers[buffer]!;
      const numbers = await program.buffer(name).read(offset, length);
      if (!numbers.every(Number.isFinite)) return dispatch;
    }
  }
  return undefined;
}

/** Names a dispatch, e.g. `matmul nt in h.0.mlp.c_fc`. */
function nameOf({ kernel, dims, label }: Dispatch): string {
  const form = "form" in dims ? ` ${dims.form}` : "";
  return `${kernel}${form} in ${label}`;
}

function clear(stores: Stores): void {
  const [, grads] = parameterStores;
  for (const name of [grads, "loss"]) {
    const store = stores.get(name)!;
    store.write(new Float32Array(store.spec.length));
  }
}

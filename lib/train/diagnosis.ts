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
import type { BufferSpec, Dispatch, Plan } from "../graph/plan.ts";
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

/** Returns the gradient phase of a plan, with a phase for each dispatch, readable slots, and readable copies of float16 outputs. */
function stepwise(plan: Plan): Plan {
  const buffers = plan.buffers.map((buffer): BufferSpec =>
    buffer.kind === "slot" ? { ...buffer, kind: "output" } : buffer
  );
  const dispatches: Dispatch[] = [];
  const phases: Record<string, Plan["phases"][string]> = {};
  for (const dispatch of plan.dispatches.slice(...plan.phases["gradient"]!)) {
    const { label, outputs } = dispatch;
    const from = dispatches.push(dispatch) - 1;
    for (const output of outputs.filter(({ dtype }) => dtype === "f16")) {
      const { length } = output;
      const name = `copy ${buffers.length}`;
      const copy = { name, kind: "output", dtype: "f32", length } as const;
      const whole = { buffer: buffers.push(copy) - 1, offset: 0, length };
      const dims = { n: length };
      dispatches.push({
        ...{ kernel: "copy", label, dims, outputs: [whole], inputs: [output] },
      });
    }
    phases[from] = [from, dispatches.length];
  }
  return { name: `${plan.name}, step by step`, dispatches, buffers, phases };
}

async function firstIn(program: Program): Promise<Dispatch | undefined> {
  const { dispatches, buffers, phases } = program.plan;
  for (const [phase, [from, to]] of Object.entries(phases)) {
    program.run([phase]);
    const outputs = dispatches.slice(from, to).flatMap(({ outputs }) =>
      outputs
    );
    for (const { buffer, offset, length, dtype } of outputs) {
      if (dtype === "f16") continue; // its copy follows
      const { name } = buffers[buffer]!;
      const numbers = await program.buffer(name).read(offset, length);
      if (!numbers.every(Number.isFinite)) return dispatches[from];
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

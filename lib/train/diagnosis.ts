/**
 * Where a training step stopped being finite: the step is run once more, one dispatch
 * at a time, and what each computes is looked at. Any backend can do it, as all it takes
 * is a plan whose intermediate results can be read.
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

/** What the host writes before a run, by the buffer's name. */
export type Inputs = Readonly<Record<string, ArrayLike<number>>>;

/**
 * The first thing in a step's gradient that is not finite, in words; undefined if all is, or there is
 * no memory to find out.
 *
 * Weights stay as they are. Gradients and the loss, of which a failed step leaves nothing, end as 0.
 *
 * @param plan a train plan
 * @param microBatches the inputs of the step's runs, in order
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

/** The gradient of a plan with a phase for each dispatch, and with slots that can be read. */
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

/** `matmul nt in h.0.mlp.c_fc` */
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

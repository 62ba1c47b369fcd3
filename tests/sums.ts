/** A small plan for tests of the executor. */

import type {
  BufferKind,
  BufferSpec,
  Dispatch,
  Plan,
} from "../lib/graph/plan.ts";

/** Elements of each buffer. */
export const n = 8;

/** A buffer of a plan. */
export function buffer(
  name: string,
  kind: BufferKind,
  length: number = n,
): BufferSpec {
  return { name, kind, dtype: "f32", length };
}

/** output = a + b, by numbers of buffers. */
export function add(
  output: number,
  inputs: readonly [a: number, b: number],
  length: number = n,
): Dispatch {
  const whole = (buffer: number) => ({ buffer, offset: 0, length });
  return {
    kernel: "add",
    outputs: [whole(output)],
    inputs: inputs.map(whole),
    dims: { n: length },
    label: `sum ${output}`,
  };
}

/** middle = a + b; z = middle + middle; and, apart, b = middle + a. */
export const sums: Plan = {
  name: "sums",
  buffers: [
    buffer("a", "input"),
    buffer("b", "store"),
    buffer("middle", "slot"),
    buffer("z", "output"),
  ],
  dispatches: [add(2, [0, 1]), add(3, [2, 2]), add(1, [2, 0])],
  phases: { forward: [0, 2], learn: [2, 3], middle: [0, 1], z: [1, 2] },
};

/** A whole buffer of one value. */
export function filled(value: number): number[] {
  return new Array<number>(n).fill(value);
}

/**
 * A known answer that a device's float16 must give before a plan is trusted with it. WebGPU leaves open how float16 numbers are
 * rounded, and lets a device drop subnormal ones.
 */

import { plainProduct } from "../../../kernels/vocabulary.ts";
import type { Operand, Plan } from "../../graph/plan.ts";
import type { Executor } from "../backend.ts";
import { halvesRefusal } from "../halves.ts";
import { openReference } from "../reference.ts";
import { compileProgram } from "./program.ts";

/** Numbers around the limits of float16: subnormal ones, ties, the largest, and those that are too large. */
const numbers = [
  ...[0, 1, -1, 1 / 3, 5, -2 / 3, 1 + 2 ** -11, 1 + 3 * 2 ** -11],
  ...[2 ** -14, 2 ** -15, -3 * 2 ** -24, 2 ** -24, 2 ** -25, 1.5 * 2 ** -24],
  ...[2049, 2051, -4098, 65504, -65504, 65519, 65520, -1e5, 3e38, -1e-30],
].map(Math.fround);

const [rows, C] = [4, 8];

/** Contents of the inputs. A row of `x` has the mean square 1, and `weight` few digits, so that the norm is exact in float16. */
const contents: Readonly<Record<string, readonly number[]>> = {
  numbers,
  x: Array.from({ length: rows * C }, (_, i) => i % 3 === 0 ? -1 : 1),
  weight: Array.from({ length: C }, (_, c) => 0.5 + c % 5),
  matrix: Array.from({ length: C * C }, (_, i) => i * i % 509 - 254),
};

/** Lengths of the outputs. */
const outputs = {
  "vectors": numbers.length,
  "scalars": numbers.length - 2, // not by fours
  "product": rows * C,
  "activation": rows * C,
};

/** Returns the plan: copies to float16 and back, and a norm, a product and an activation with operands of float16. */
function answerPlan(): Plan {
  const buffers: Plan["buffers"][number][] = [];
  const add = (
    name: string,
    kind: "input" | "output" | "slot",
    length: number,
  ) => buffers.push({ name, kind, dtype: "f32", length }) - 1;
  const whole = (name: string): Operand => {
    const buffer = buffers.findIndex((spec) => spec.name === name);
    return { buffer, offset: 0, length: buffers[buffer]!.length };
  };
  const half = (length: number): Operand => {
    const buffer = add(`half ${buffers.length}`, "slot", length / 2);
    return { buffer, offset: 0, length, dtype: "f16" };
  };
  for (const [name, { length }] of Object.entries(contents)) {
    add(name, "input", length);
  }
  for (const [name, length] of Object.entries(outputs)) {
    add(name, "output", length);
  }
  add("stats", "slot", 2 * rows);
  const [y, z, normed] = [half(rows * C), half(rows * C), half(rows * C)];
  const copy = (to: Operand, from: Operand) => ({
    ...{ kernel: "copy", label: "", dims: { n: to.length } } as const,
    ...{ outputs: [to], inputs: [from] },
  });
  const both = ["vectors", "scalars"].flatMap((name) => {
    const to = whole(name);
    const between = half(to.length);
    const from = { ...whole("numbers"), length: to.length };
    return [copy(between, from), copy(to, between)];
  });
  return {
    name: "float16",
    buffers,
    dispatches: [
      ...both,
      {
        kernel: "norm",
        label: "",
        outputs: [normed, whole("stats")],
        inputs: [whole("x"), whole("weight")],
        dims: { kind: "rmsnorm", rows, C, eps: 1e-5, bias: false },
      },
      {
        kernel: "matmul",
        label: "",
        outputs: [y, z],
        inputs: [normed, whole("matrix")],
        dims: {
          ...plainProduct,
          ...{ form: "nt", M: rows, N: C, K: C, activation: "relu" },
        },
      },
      copy(whole("product"), y),
      copy(whole("activation"), z),
    ],
    phases: {},
  };
}

/** Runs the plan and returns its outputs, one after another. */
async function answerOf(compile: Executor["compile"]): Promise<number[]> {
  const program = await compile(answerPlan(), new Map());
  try {
    for (const [name, values] of Object.entries(contents)) {
      program.buffer(name).write(values);
    }
    program.run();
    const read = Object.keys(outputs).map((name) =>
      program.buffer(name).read()
    );
    return (await Promise.all(read)).flatMap((values) => [...values]);
  } finally {
    program.destroy();
  }
}

/**
 * Compares a device's float16 with that of the reference.
 *
 * @param plan the plan that needs float16
 * @throws {RangeError} if a number differs
 */
export async function proveHalves(
  backend: Parameters<typeof compileProgram>[2],
  plan: Plan,
): Promise<void> {
  const actual = await answerOf((plan, stores) =>
    compileProgram(plan, stores, backend)
  );
  await using reference = openReference();
  const expected = await answerOf((plan, stores) =>
    reference.compile(plan, stores)
  );
  const wrong = expected.findIndex((x, i) => x !== actual[i]);
  if (wrong < 0) return;
  throw halvesRefusal(
    plan,
    `${backend.name} computes wrong float16 numbers, the first ${
      actual[wrong]
    } in place of ${expected[wrong]}`,
  );
}

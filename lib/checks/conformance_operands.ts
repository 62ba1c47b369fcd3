/**
 * What the operands of a conformance case hold before it runs: what the case says, else
 * numbers that make sense to the kernel (tokens below V, statistics that belong to the
 * input), else standard normal ones. All are exact in 32 bits and drawn from a fixed seed.
 */

import { referenceKernels } from "../../kernels/reference/registry.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import {
  type KernelName,
  type OperandShape,
  operandShapes,
} from "../../kernels/vocabulary.ts";
import type { Case } from "./conformance_case.ts";

/** Memory of the operands of one side, in the vocabulary's order. */
export type Memory = Float64Array | Int32Array;

/** One operand and what it holds. */
export interface Operand extends OperandShape {
  readonly data: Memory;
}

/** The operands of a case; outputs are preset too, so that what is written and what is not can be told. */
export interface Operands {
  readonly outputs: readonly Operand[];
  readonly inputs: readonly Operand[];
}

/** The seed of all numbers of the suite. */
const SEED = 2025;

/** Random numbers repeat after this many: a prime, so that no tile meets them in step. */
const PERIOD = 65521;

/** What the operands of a case hold. */
export function operandsOf(test: Case): Operands {
  const { outputs, inputs } = operandShapes(test.kernel, test.dims as never);
  const values = new Map<string, Memory>();
  for (const { name, dtype, length } of [...outputs, ...inputs]) {
    const given = test.values?.[name];
    const data = given
      ? dtype === "f32"
        ? round(Float64Array.from(given))
        : Int32Array.from(given)
      : draw({ name, dtype, length }, test);
    if (data.length !== length) {
      throw new RangeError(
        `Cannot set ${name}: the case gives ${data.length} numbers, the dims say ${length}`,
      );
    }
    values.set(name, data);
  }
  derive(test, values);
  const fill = (shape: OperandShape) => ({
    ...shape,
    data: values.get(shape.name)!,
  });
  return { outputs: outputs.map(fill), inputs: inputs.map(fill) };
}

/** Rounds to what 32 bits hold. */
export function round(data: Float64Array): Float64Array {
  return data.map(Math.fround);
}

/** Standard normal numbers, different for each name. */
export function normals(name: string, length: number): Float64Array {
  const random = new CounterRandom(SEED, Purpose.init, siteOf(name));
  const period = Math.min(length, PERIOD);
  const data = new Float64Array(length);
  for (let i = 0; i < period; i++) data[i] = Math.fround(random.normal(0, i));
  for (let i = period; i < length; i++) data[i] = data[i - period]!;
  return data;
}

/** Uniform integers in [0, n). */
function integers(name: string, length: number, n: number): Int32Array {
  const random = new CounterRandom(SEED, Purpose.init, siteOf(name));
  return Int32Array.from({ length }, (_, i) => random.below(n, 0, i));
}

/** A generator's site for an operand's name. */
function siteOf(name: string): number {
  let site = 0;
  for (const letter of name) site = (site * 31 + letter.charCodeAt(0)) % 65521;
  return site;
}

/** What an operand holds when the case does not say and other operands don't decide. */
function draw({ name, dtype, length }: OperandShape, test: Case): Memory {
  const { dims } = test;
  if (name === "key") {
    const last = "slots" in dims ? dims.slots - 1 : 0;
    const slots = test.kernel === "lossSum" ? [0, last] : [last, 0];
    return Int32Array.of(20250111, 77, ...slots);
  }
  if (name === "tokens" && "V" in dims) return integers(name, length, dims.V);
  if (name === "targets" && "V" in dims) {
    // Every fourth row is one that does not count.
    return integers(name, length, dims.V).map((v, i) => i % 4 === 3 ? -1 : v);
  }
  if (name === "start" && "L" in dims) return integers(name, length, dims.L);
  if (name === "count" && "T" in dims) {
    return integers(name, length, dims.T + 1);
  }
  if (dtype === "i32") throw new TypeError(`Cannot draw i32 operand ${name}`);
  const x = normals(name, length);
  switch (`${test.kernel}.${name}`) {
    case "rope.table":
      // (cos, sin) of angles that repeat for no two positions or pairs.
      return x.map((_, i) =>
        Math.fround(i % 2 === 0 ? Math.cos(i / 2) : Math.sin((i - 1) / 2))
      );
    case "softcapBackward.y":
      return round(x.map((x) => 1.5 * Math.tanh(x)));
    case "clip.partial":
      return round(x.map((x) => x * x));
    case "normalize.partial":
      return round(x.map((x) => x * x));
    case "adamw.v":
      return round(x.map((x) => 0.1 + x * x));
    case "momentum.clip":
    case "descend.clip":
    case "adamw.clip":
      return Float64Array.of(0.75, 1);
    case "descend.schedule":
    case "adamw.schedule":
      return round(Float64Array.of(0.03, 1 - 0.9 ** 5, 1 - 0.99 ** 5));
    default:
      return x;
  }
}

/** Replaces inputs of a backward kernel that the forward pass would have computed from others. */
function derive(test: Case, values: Map<string, Memory>): void {
  const get = (name: string) => values.get(name)!;
  const set = (name: string, data: Memory) => {
    if (values.has(name) && data instanceof Float64Array) {
      values.set(name, round(data));
    }
  };
  const { kernel } = test;
  if (kernel === "normBackward" || kernel === "normBackwardWeights") {
    const { rows, C } = test.dims;
    const kind = kernel === "normBackward" ? test.dims.kind : "layernorm";
    const dims = { kind, rows, C, eps: 1e-5, bias: false };
    const stats = new Float64Array(2 * rows);
    run(
      "norm",
      [new Float64Array(rows * C), stats],
      [get("x"), get("x")],
      dims,
    );
    set("stats", stats);
  }
  if (kernel === "attentionBackward") {
    const { dims } = test;
    const key = values.has("key") ? [get("key")] : [];
    const y = new Float64Array(dims.B * dims.T * dims.NH * dims.HS);
    const lse = new Float64Array(dims.B * dims.NH * dims.T);
    run("attention", [y, lse], [get("qkv"), ...key], dims);
    set("y", y);
    set("lse", lse);
  }
}

/** Runs a reference kernel. */
export function run(
  kernel: KernelName,
  outputs: readonly Memory[],
  inputs: readonly Memory[],
  dims: object,
): void {
  referenceKernels[kernel](
    outputs as never,
    inputs as never,
    dims as never,
  );
}

/**
 * Operand values of conformance cases: the values that the case gives, else values that the
 * kernel requires (tokens below V, statistics of the input), else standard normal numbers.
 * All values are exact in 32 bits and drawn from a fixed seed.
 */

import { referenceKernels } from "../../kernels/reference/registry.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import {
  type KernelName,
  type OperandShape,
  operandShapes,
} from "../../kernels/vocabulary.ts";
import type { Case } from "./conformance_case.ts";
import { refusal } from "../refusal.ts";

/** Values of one operand. */
export type Memory = Float64Array | Int32Array;

/** One operand with its values; `half` is true if the case stores it as float16. */
export interface Operand extends OperandShape {
  readonly data: Memory;
}

/** Operands of a case. Outputs have initial values too, which show the elements that a kernel does not write. */
export interface Operands {
  readonly outputs: readonly Operand[];
  readonly inputs: readonly Operand[];
}

/** Seed of all numbers of the suite. */
const SEED = 2025;

/** Period of the random numbers: a prime, so that it is no multiple of any tile. */
const PERIOD = 65521;

/** Settings of `choose`, a row each: temperature, topK, topP, minP, penalty. */
const settings = [
  [1, 0, 1, 0, 1],
  [0.8, 10, 1, 0, 1],
  [1.3, 0, 0.9, 0, 1],
  [2, 0, 1, 0.05, 1],
  [0.9, 40, 0.95, 0.01, 1.2],
  [1, 1, 1, 0, 1.5],
  [0.7, 3, 0, 0, 0.5],
];

/** Returns the operands of a case with their values. */
export function operandsOf(test: Case): Operands {
  const { outputs, inputs } = operandShapes(test.kernel, test.dims as never);
  const values = new Map<string, Memory>();
  const isHalf = ({ half, length }: OperandShape) =>
    test.halves === true && half && length % 2 === 0;
  const stored = (shape: OperandShape, data: Memory) =>
    isHalf(shape) ? data.map(Math.f16round) : data;
  for (const shape of [...outputs, ...inputs]) {
    const { name, dtype, length } = shape;
    const given = test.values?.[name];
    const data = given
      ? dtype === "f32"
        ? round(Float64Array.from(given))
        : Int32Array.from(given)
      : draw({ name, dtype, length }, test);
    if (data.length !== length) {
      throw refusal(
        RangeError,
        `set ${name}`,
        `the case gives ${data.length} numbers, the dims say ${length}`,
      );
    }
    values.set(name, stored(shape, data));
  }
  derive(test, values);
  const fill = (shape: OperandShape) => ({
    ...shape,
    half: isHalf(shape),
    data: stored(shape, values.get(shape.name)!),
  });
  return { outputs: outputs.map(fill), inputs: inputs.map(fill) };
}

/** Rounds numbers to 32 bits. */
export function round(data: Float64Array): Float64Array {
  return data.map(Math.fround);
}

/** Returns standard normal numbers, different for each name. */
export function normals(name: string, length: number): Float64Array {
  const random = new CounterRandom(SEED, Purpose.init, streamOf(name));
  const period = Math.min(length, PERIOD);
  const data = new Float64Array(length);
  for (let i = 0; i < period; i++) data[i] = Math.fround(random.normal(0, i));
  for (let i = period; i < length; i++) data[i] = data[i - period]!;
  return data;
}

/** Returns uniform integers in [0, n). */
function integers(name: string, length: number, n: number): Int32Array {
  const random = new CounterRandom(SEED, Purpose.init, streamOf(name));
  return Int32Array.from({ length }, (_, i) => random.below(n, 0, i));
}

/** Returns the stream of random numbers for the name of an operand. */
function streamOf(name: string): number {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.charCodeAt(0)) % 65521;
  return hash;
}

/** Returns the default values of an operand. */
function draw(
  { name, dtype, length }: Omit<OperandShape, "half">,
  test: Case,
): Memory {
  const { dims } = test;
  if (name === "key") {
    const last = "slots" in dims ? dims.slots - 1 : 0;
    const slots = test.kernel === "lossSum" ? [0, last] : [last, 0];
    return Int32Array.of(20250111, 77, ...slots);
  }
  if (name === "tokens" && "V" in dims) return integers(name, length, dims.V);
  if (name === "targets" && "V" in dims) {
    // Every fourth row has no target.
    return integers(name, length, dims.V).map((v, i) => i % 4 === 3 ? -1 : v);
  }
  if (name === "start" && "L" in dims) return integers(name, length, dims.L);
  if (name === "count" && "T" in dims) {
    return integers(name, length, dims.T + 1);
  }
  if (name === "state" && "S" in dims) {
    // Texts that are shorter than S, and longer ones.
    const rows = Array.from({ length: dims.B }, (_, b) => b);
    const own = rows.map((b) => [SEED + b, b, 77 * b, dims.S - 2 + 3 * b]);
    return Int32Array.from(own.flat());
  }
  if (name === "text") return integers(name, length, 50).map((id) => id - 1);
  if ("S" in dims && dtype === "i32") return integers(name, length, 2);
  if (dtype === "i32") {
    throw refusal(
      TypeError,
      `draw i32 operand ${name}`,
      "its range is unknown",
    );
  }
  const x = normals(name, length);
  switch (`${test.kernel}.${name}`) {
    case "rope.table":
      // (cos, sin) of angles that differ for all positions and pairs.
      return x.map((_, i) =>
        Math.fround(i % 2 === 0 ? Math.cos(i / 2) : Math.sin((i - 1) / 2))
      );
    case "softcapBackward.y":
      return round(x.map((x) => 1.5 * Math.tanh(x)));
    case "clip.partial":
      return round(x.map((x) => x * x));
    case "normalize.partial":
      return round(x.map((x) => x * x));
    case "choose.settings":
      return round(
        x.map((_, i) => settings.flat()[i % settings.flat().length]!),
      );
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

/** Replaces inputs of a backward kernel by the values that the forward kernel computes from other inputs. */
function derive(test: Case, values: Map<string, Memory>): void {
  const get = (name: string) => values.get(name)!;
  const set = (name: string, data: Memory) => {
    if (values.has(name) && data instanceof Float64Array) {
      values.set(name, round(data));
    }
  };
  const { kernel } = test;
  if (kernel === "normBackward") {
    const { kind, rows, C } = test.dims;
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
  if (kernel === "qkNormBackward" && test.dims.gain) {
    const roots = new Float64Array(get("roots").length);
    const y = new Float64Array(get("qkv").length);
    run(
      "qkNorm",
      [y, roots],
      [get("qkv"), get("qgain"), get("kgain")],
      test.dims,
    );
    set("roots", roots);
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

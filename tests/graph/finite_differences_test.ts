/**
 * Every backward kernel of the reference against central differences of its forward kernel,
 * in float64. What the other backends compute is compared with the reference by the
 * conformance suite; together they say that all gradients are right.
 *
 * L = Σ outputs · cotangent is a number; its derivative by each element x of each input is
 * (L(x + h) - L(x - h)) / 2h, with an error of h²/6 · L‴ by truncation and about u |L| / h by
 * rounding, u = 1e-16. With h = 1e-5 and L‴ and L up to 100, both stay below 2e-9; gradients
 * here are of size 1, so 1e-7 of the largest is a tolerance with room to spare, far below
 * what any mistake in a formula does.
 */

import { assertGreater, assertLess } from "@std/assert";
import type {
  AttentionDropoutDims,
  KernelDims,
  KernelName,
} from "../../kernels/vocabulary.ts";
import { operandShapes, plainProduct } from "../../kernels/vocabulary.ts";
import {
  type Memory,
  normals,
  run,
} from "../../lib/checks/conformance_operands.ts";

const STEP = 1e-5;
const TOLERANCE = 1e-7;

/** One kernel on the given inputs; returns its outputs, from NaN, or from `before` where it accumulates. */
function call<Name extends KernelName>(
  kernel: Name,
  dims: KernelDims[Name],
  inputs: readonly Memory[],
  before?: number,
): Float64Array[] {
  const outputs = operandShapes(kernel, dims).outputs.map(({ length }) =>
    new Float64Array(length).fill(before ?? NaN)
  );
  run(kernel, outputs, inputs, dims);
  return outputs;
}

/** What an accumulating kernel added. */
function added<Name extends KernelName>(
  kernel: Name,
  dims: KernelDims[Name],
  inputs: readonly Memory[],
): Float64Array[] {
  const before = 0.5;
  return call(kernel, dims, inputs, before).map((x) =>
    x.map((x) => x - before)
  );
}

/** A forward computation and what is claimed to be its gradient. */
interface Claim {
  /** The inputs to differentiate by. */
  readonly inputs: Readonly<Record<string, Float64Array>>;
  /** Outputs, from the present content of the inputs. */
  readonly forward: () => readonly Float64Array[];
  /** Gradients by each of the inputs, given those by the outputs. */
  readonly backward: (
    cotangents: readonly Float64Array[],
  ) => Readonly<Record<string, Float64Array>>;
}

/** The worst error of a claim, relative to the largest element of each gradient. */
function gradientError({ inputs, forward, backward }: Claim): number {
  const cotangents = forward().map(({ length }, i) =>
    normals(`cotangent ${i}`, length)
  );
  const claimed = backward(cotangents);
  const value = () =>
    forward().reduce((sum, y, i) => sum + inner(y, cotangents[i]!), 0);
  let worst = 0;
  for (const [name, x] of Object.entries(inputs)) {
    const dx = claimed[name]!;
    const scale = dx.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    assertGreater(scale, 0, `the gradient by ${name} is zero everywhere`);
    for (let i = 0; i < x.length; i++) {
      const error = Math.abs(dx[i]! - slope(value, x, i)) / scale;
      worst = Math.max(worst, error); // NaN stays NaN
    }
  }
  return worst;
}

/** The central difference of a value by x[i]. */
function slope(value: () => number, x: Float64Array, i: number): number {
  const middle = x[i]!;
  x[i] = middle + STEP;
  const above = value();
  x[i] = middle - STEP;
  const below = value();
  x[i] = middle;
  return (above - below) / (2 * STEP);
}

function inner(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

/** Registers a test of a claim. */
function testGradient(name: string, claim: () => Claim): void {
  Deno.test(`Gradient of ${name} equals finite differences`, () => {
    assertLess(gradientError(claim()), TOLERANCE);
  });
}

Deno.test("The gradient check notices one part in a million in one element", () => {
  const x = normals("x", 9);
  const claim = (factor: number): Claim => ({
    inputs: { x },
    forward: () => [x.map((x) => x ** 3)],
    backward: ([dy]) => {
      const dx = x.map((x, i) => 3 * x * x * dy![i]!);
      const largest = dx.reduce((a, b) => Math.max(a, Math.abs(b)));
      return { x: dx.map((d) => Math.abs(d) === largest ? d * factor : d) };
    },
  });
  assertLess(gradientError(claim(1)), TOLERANCE);
  assertGreater(gradientError(claim(1 + 1e-6)), TOLERANCE);
});

testGradient("embedding", () => {
  const dims = {
    ...{ B: 2, T: 5, C: 3, V: 4, L: 6 },
    ...{ positions: true, start: false },
  };
  const tokens = Int32Array.of(1, 3, 1, 0, 1, 3, 3, 0, 1, 0); // Token 2 never.
  const wte = normals("wte", dims.V * dims.C);
  const table = normals("table", dims.L * dims.C);
  return {
    inputs: { wte, table },
    forward: () => call("embedding", dims, [tokens, wte, table]),
    backward: ([dx]) => {
      const rows = { ...dims, rows: dims.B * dims.T };
      const [dwte] = added("embeddingBackward", rows, [dx!, tokens]);
      const [dtable] = added("positionBackward", dims, [dx!]);
      return { wte: dwte!, table: dtable! };
    },
  };
});

testGradient("matmul with bias and residual", () => {
  const [M, N, K] = [4, 3, 5];
  const a = normals("a", M * K);
  const b = normals("b", N * K);
  const bias = normals("bias", N);
  const residual = normals("residual", M * N);
  const flags = { form: "nt", bias: true, residual: true } as const;
  const whole = { ...plainProduct, ...flags };
  return {
    inputs: { a, b, bias, residual },
    forward: () =>
      call("matmul", { ...whole, M, N, K }, [a, b, bias, residual]),
    backward: ([dy]) => {
      const ofA = { ...plainProduct, form: "nn", M, N: K, K: N } as const;
      const ofB = { ...plainProduct, form: "tn", M: N, N: K, K: M } as const;
      const [da] = call("matmul", ofA, [dy!, b]);
      const flags = { accumulate: true, sums: true };
      const [db, dbias] = added("matmul", { ...ofB, ...flags }, [dy!, a]);
      return { a: da!, b: db!, bias: dbias!, residual: dy! };
    },
  };
});

for (const kind of ["layernorm", "rmsnorm"] as const) {
  for (const bias of [true, false]) {
    for (const accumulate of [true, false]) {
      const flags = `${bias ? "with" : "without"} bias, ${
        accumulate ? "added" : "stored"
      }`;
      testGradient(`${kind} ${flags}`, () => normClaim(kind, bias, accumulate));
    }
  }
}

function normClaim(
  kind: "layernorm" | "rmsnorm",
  bias: boolean,
  accumulate: boolean,
): Claim {
  const [rows, C] = [3, 7];
  const x = normals("x", rows * C).map((x) => 0.5 + x);
  const weight = normals("weight", C);
  const offset = normals("bias", C);
  const dims = { kind, rows, C, eps: 0.1, bias };
  const inputs = [x, weight, ...(bias ? [offset] : [])];
  const forward = () => call("norm", dims, inputs);
  return {
    inputs: { x, weight, ...(bias ? { bias: offset } : {}) },
    forward: () => forward().slice(0, 1), // stats are no output of the network.
    backward: ([dy]) => {
      const stats = forward()[1]!;
      const backward = accumulate ? added : call;
      const given = [dy!, x, weight, stats];
      const [dx] = backward("normBackward", { ...dims, accumulate }, given);
      const adding = { ...dims, accumulate: true };
      const [, dweight, dbias] = added("normBackward", adding, given);
      return { x: dx!, weight: dweight!, ...(bias ? { bias: dbias! } : {}) };
    },
  };
}

for (const kind of ["geluTanh", "gelu", "relu", "relu2"] as const) {
  testGradient(kind, () => {
    const n = 40;
    const product = { ...plainProduct, form: "nn", M: n, N: 1, K: 1 } as const;
    const one = Float64Array.of(1);
    // Out to ±4, and close to 0, where ReLU has a corner, but not as close as the step.
    const x = normals("x", n).map((x, i) => i < 4 ? 1e-4 * (i - 1.5) : 1.5 * x);
    return {
      inputs: { x },
      // z = f(x · 1)
      forward: () =>
        call("matmul", { ...product, activation: kind }, [x, one]).slice(1),
      backward: ([dz]) => {
        const [dx] = call("matmul", { ...product, slope: kind }, [dz!, one, x]);
        return { x: dx! };
      },
    };
  });
}

testGradient("swiglu", () => {
  const n = 20;
  const gate = normals("gate", n).map((x) => 2 * x);
  const x = normals("x", n);
  return {
    inputs: { gate, x },
    forward: () => call("swiglu", { n }, [gate, x]),
    backward: ([dy]) => {
      const [dgate, dx] = call("swigluBackward", { n }, [dy!, gate, x]);
      return { gate: dgate!, x: dx! };
    },
  };
});

testGradient("softcap", () => {
  const dims = { n: 20, cap: 1.5 };
  const x = normals("x", dims.n);
  return {
    inputs: { x },
    forward: () => call("softcap", dims, [x]),
    backward: ([dy]) => {
      const [y] = call("softcap", dims, [x]);
      const [dx] = call("softcapBackward", dims, [dy!, y!]);
      return { x: dx! };
    },
  };
});

testGradient("dropout", () => {
  const dims = { n: 30, rate: 0.4, site: 2, residual: true };
  const key = Int32Array.of(5, 6, 0, 0);
  const x = normals("x", dims.n);
  const residual = normals("residual", dims.n);
  return {
    inputs: { x, residual },
    forward: () => call("dropout", dims, [x, key, residual]),
    backward: ([dy]) => {
      const back = { ...dims, residual: false };
      return { x: call("dropout", back, [dy!, key])[0]!, residual: dy! };
    },
  };
});

for (const [NH, NKV, HS] of [[3, 3, 4], [4, 2, 3], [3, 1, 1]] as const) {
  testGradient(`qkNorm with heads ${NH}/${NKV} of ${HS}`, () => {
    const dims = { rows: 2, NH, NKV, HS, eps: 0.1, gain: false };
    const qkv = normals("qkv", 2 * (NH + 2 * NKV) * HS);
    return {
      inputs: { qkv },
      forward: () => call("qkNorm", dims, [qkv]),
      backward: ([dy]) => ({
        qkv: call("qkNormBackward", dims, [dy!, qkv])[0]!,
      }),
    };
  });
  testGradient(`qkNorm with gains, heads ${NH}/${NKV} of ${HS}`, () => {
    const dims = { rows: 2, NH, NKV, HS, eps: 0.1, gain: true };
    const qkv = normals("qkv", 2 * (NH + 2 * NKV) * HS);
    const qgain = normals("qgain", HS);
    const kgain = normals("kgain", HS);
    const forward = () => call("qkNorm", dims, [qkv, qgain, kgain]);
    return {
      inputs: { qkv, qgain, kgain },
      forward: () => forward().slice(0, 1), // roots are no output of the network.
      backward: ([dy]) => {
        const inputs = [dy!, qkv, qgain, kgain, forward()[1]!];
        const [x] = call("qkNormBackward", dims, inputs);
        const [, q, k] = added("qkNormBackward", dims, inputs);
        return { qkv: x!, qgain: q!, kgain: k! };
      },
    };
  });
}

for (const interleaved of [true, false]) {
  for (const start of [true, false]) {
    const pairing = interleaved ? "interleaved" : "in halves";
    testGradient(`rope ${pairing}${start ? " from a start" : ""}`, () => {
      const dims = {
        ...{ B: 2, T: 3, NH: 4, NKV: 2, HS: 6, L: 5 },
        ...{ interleaved, start },
      };
      const qkv = normals("qkv", 2 * 3 * 8 * 6);
      const table = Float64Array.from(
        { length: 5 * 6 },
        (_, i) => i % 2 === 0 ? Math.cos(i / 2) : Math.sin((i - 1) / 2),
      );
      const inputs = [table, ...(start ? [Int32Array.of(1, 2)] : [])];
      const turn = (x: Float64Array, inverse: boolean) =>
        call("rope", { ...dims, inverse }, [x, ...inputs]);
      return {
        inputs: { qkv },
        forward: () => turn(qkv, false),
        backward: ([dy]) => ({ qkv: turn(dy!, true)[0]! }),
      };
    });
  }
}

const attention: AttentionDropoutDims = {
  ...{ B: 2, T: 5, NH: 4, NKV: 2, HS: 3, scale: 1 / Math.sqrt(3) },
  ...{ mask: "causal", maskValue: 0, slopes: [], dropout: 0, site: 0 },
};
const masks = [
  { mask: "causal", maskValue: 0 },
  { mask: "none", maskValue: 0 },
  { mask: "zeroed", maskValue: 0 },
  { mask: "finite", maskValue: -0.7 },
] as const;
const heads = [{ NH: 2, NKV: 2 }, { NH: 4, NKV: 2 }, { NH: 3, NKV: 1 }];
const slopes = [0.5, 0.25, 0.125, 0.0625];

const attentionVariants: Readonly<Record<string, AttentionDropoutDims>> = {
  ...Object.fromEntries(masks.flatMap((mask) => [
    [`mask ${mask.mask}`, { ...attention, ...mask }],
    [`mask ${mask.mask} and ALiBi`, { ...attention, ...mask, slopes }],
    [`mask ${mask.mask} and dropout`, {
      ...attention,
      ...mask,
      dropout: 0.3,
      site: 4,
    }],
    [`mask ${mask.mask}, ALiBi and dropout`, {
      ...attention,
      ...mask,
      ...{ slopes, dropout: 0.5, site: 1 },
    }],
  ])),
  ...Object.fromEntries(heads.map(({ NH, NKV }) => [
    `${NH} heads on ${NKV}`,
    { ...attention, NH, NKV },
  ])),
  "no scale": { ...attention, scale: 1 },
};

for (const [name, dims] of Object.entries(attentionVariants)) {
  testGradient(`attention with ${name}`, () => attentionClaim(dims));
}

function attentionClaim(dims: AttentionDropoutDims): Claim {
  const { B, T, NH, NKV, HS } = dims;
  const qkv = normals("qkv", B * T * (NH + 2 * NKV) * HS);
  const key = dims.dropout ? [Int32Array.of(1, 2, 0, 0)] : [];
  const forward = () => call("attention", dims, [qkv, ...key]);
  return {
    inputs: { qkv },
    forward: () => forward().slice(0, 1), // lse is no output of the network.
    backward: ([dy]) => {
      const [y, lse] = forward();
      const inputs = [dy!, y!, lse!, qkv, ...key];
      return { qkv: call("attentionBackward", dims, inputs)[0]! };
    },
  };
}

for (const smoothing of [0, 0.1]) {
  testGradient(`crossEntropy with smoothing ${smoothing}`, () => {
    const dims = { rows: 4, V: 5, smoothing, gradient: true };
    const gradientScale = 0.25;
    const logits = normals("logits", 20).map((x) => 2 * x);
    const targets = Int32Array.of(0, 4, -1, 2);
    const forward = () =>
      call("crossEntropy", { ...dims, gradientScale }, [logits, targets]);
    return {
      inputs: { logits },
      // The kernel's cotangent is gradientScale for every row, so the sum is taken here.
      forward: () => [Float64Array.of(
        gradientScale * forward()[0]!.reduce((a, b) => a + b),
      )],
      backward: ([d]) => ({ logits: forward()[1]!.map((x) => x * d![0]!) }),
    };
  });
}

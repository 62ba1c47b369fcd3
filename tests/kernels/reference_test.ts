/**
 * The reference backend: its kernels against answers worked out by hand, and what it does as
 * an executor. Its gradients are checked in `finite_differences_test.ts`.
 */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertLess,
} from "@std/assert";
import type {
  AttentionDropoutDims,
  KernelDims,
  KernelName,
} from "../../kernels/vocabulary.ts";
import { operandShapes, plainProduct } from "../../kernels/vocabulary.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import {
  type Memory,
  normals,
  run,
} from "../../lib/checks/conformance_operands.ts";

/** Computes one kernel; outputs begin as zeros. */
function compute<Name extends KernelName>(
  kernel: Name,
  dims: KernelDims[Name],
  inputs: readonly (readonly number[] | Memory)[],
): Float64Array[] {
  const shapes = operandShapes(kernel, dims);
  const outputs = shapes.outputs.map(({ length }) => new Float64Array(length));
  const memory = inputs.map((data, i) =>
    shapes.inputs[i]!.dtype === "f32"
      ? Float64Array.from(data)
      : Int32Array.from(data)
  );
  run(kernel, outputs, memory, dims);
  return outputs;
}

/** Float64 leaves about 1e-16 for each of a handful of roundings. */
function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance = 1e-14,
): void {
  assertEquals(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    assertAlmostEquals(actual[i]!, expected[i]!, tolerance, `element ${i}`);
  }
}

const oneHead: AttentionDropoutDims = {
  ...{ B: 1, T: 2, NH: 1, NKV: 1, HS: 1, scale: 1 },
  ...{ mask: "causal", maskValue: 0, slopes: [], dropout: 0, site: 0 },
};

Deno.test("embedding adds the row of the position, the last one beyond the table", () => {
  const dims = {
    ...{ B: 2, T: 2, C: 1, V: 3, L: 3 },
    ...{ positions: true, start: true },
  };
  const [x] = compute("embedding", dims, [
    [2, 0, 1, 1],
    [10, 20, 30],
    [1, 2, 3],
    [0, 2],
  ]);
  assertEquals([...x!], [31, 12, 23, 23]);
});

Deno.test("selectLast takes the last row that counts, and 0 where none does", () => {
  const x = [1, 2, 3, 4, 5, 6];
  const [y] = compute("selectLast", { B: 3, T: 2, C: 1 }, [x, [1, 2, 0]]);
  assertEquals([...y!], [1, 4, 0]);
});

Deno.test("dropout keeps words from the rate on, and divides by what is kept", () => {
  const dims = { n: 1000, rate: 0.2, site: 5, residual: false };
  const [seed, counter] = [0xfedcba98, 7];
  const key = [seed | 0, counter, 0, 0];
  const [y] = compute("dropout", dims, [new Array(1000).fill(4), key]);
  const random = new CounterRandom(seed, Purpose.dropout, 5);
  for (let i = 0; i < 1000; i++) {
    assertEquals(y![i], random.uniform(counter, i) < 0.2 ? 0 : 5);
  }
});

Deno.test("matmul is the product of its matrices in each form", () => {
  const dims = {
    ...plainProduct,
    ...{ M: 2, N: 2, K: 3 },
  };
  const [a, aT] = [[1, 2, 3, 4, 5, 6], [1, 4, 2, 5, 3, 6]];
  const [b, bT] = [[1, 0, 2, 1, 0, 3], [1, 2, 0, 0, 1, 3]];
  const expected = [5, 11, 14, 23];
  for (
    const [form, left, right] of [
      ["nt", a, bT],
      ["nn", a, b],
      ["tn", aT, b],
    ] as const
  ) {
    const [y] = compute("matmul", { ...dims, form }, [left, right]);
    assertEquals([...y!], expected, form);
  }
  const biased = { ...dims, form: "nt", bias: true } as const;
  const [y] = compute("matmul", biased, [a, bT, [10, 20]]);
  assertEquals([...y!], [15, 31, 24, 43]);
  const stream = [100, 200, 300, 400];
  const onto = { ...dims, form: "nt", residual: true } as const;
  const [z] = compute("matmul", onto, [a, bT, stream]);
  assertEquals([...z!], [105, 211, 314, 423]);
  const both = { ...onto, bias: true } as const;
  const [x] = compute("matmul", both, [a, bT, [10, 20], stream]);
  assertEquals([...x!], [115, 231, 324, 443]);
});

Deno.test("norm adds eps to the biased variance, or to the mean square", () => {
  const dims = { rows: 1, C: 2, bias: false };
  // Mean 2, variance 1; √1.44 = 1.2.
  const layer = { ...dims, kind: "layernorm", eps: 0.44, bias: true } as const;
  const [y, stats] = compute("norm", layer, [[1, 3], [6, 12], [1, 2]]);
  assertClose(y!, [-4, 12]);
  assertClose(stats!, [2, 1 / 1.2]);
  // Mean square 12.5; √16 = 4.
  const rms = { ...dims, kind: "rmsnorm", eps: 3.5 } as const;
  const [z, roots] = compute("norm", rms, [[3, 4], [8, 12]]);
  assertClose(z!, [6, 12]);
  assertClose(roots!, [0, 0.25]);
});

/** Returns gelu of each number, by a product with 1. */
function gelu(x: readonly number[]): Float64Array {
  const dims = {
    ...plainProduct,
    form: "nn",
    M: x.length,
    N: 1,
    K: 1,
  } as const;
  return compute("matmul", { ...dims, activation: "gelu" }, [x, [1]])[1]!;
}

Deno.test("gelu takes the normal distribution from erf to 1e-15", () => {
  // t, erfc(t), erfc(-t): Φ(-√2 t) and Φ(√2 t), twice. From the C library's erfc.
  const known = [
    [0.1, 0.8875370839817152, 1.1124629160182848],
    [0.5, 0.4795001221869535, 1.5204998778130465],
    [1, 0.15729920705028513, 1.842700792949715],
    [2, 0.004677734981047265, 1.9953222650189528],
    [2.75, 0.00010062192211963684, 1.9998993780778804],
    [3, 2.2090496998585438e-5, 1.9999779095030015],
    [4, 1.541725790028002e-8, 1.999999984582742],
    [6, 2.1519736712498916e-17, 2],
  ] as const;
  for (const [t, below, above] of known) {
    const x = Math.SQRT2 * t;
    const y = gelu([-x, x]);
    assertAlmostEquals(y![0]! / -x, below / 2, 1e-15, `t = ${-t}`);
    assertAlmostEquals(y![1]! / x, above / 2, 1e-15, `t = ${t}`);
  }
  // In the tail the number itself, not only its distance from 0, is right.
  const y = gelu([-10 * Math.SQRT2]);
  assertLess(
    Math.abs(y![0]! / (-5 * Math.SQRT2 * 2.088487583762545e-45) - 1),
    1e-13,
  );
});

Deno.test("qkNorm divides queries and keys by their root mean square and copies values", () => {
  const dims = { rows: 1, NH: 1, NKV: 1, HS: 2, eps: 3.5, gain: false };
  const [y] = compute("qkNorm", dims, [[3, 4, 4, 3, 3, 4]]);
  assertClose(y!, [0.75, 1, 1, 0.75, 3, 4]);
});

Deno.test("qkNorm multiplies queries and keys by gains of their own, and returns the roots", () => {
  const dims = { rows: 1, NH: 1, NKV: 1, HS: 2, eps: 3.5, gain: true };
  const qkv = [3, 4, 4, 3, 3, 4];
  const [y, roots] = compute("qkNorm", dims, [qkv, [2, -1], [4, 8]]);
  assertClose(y!, [1.5, -1, 4, 6, 3, 4]);
  assertClose(roots!, [0.25, 0.25, 1]);
});

Deno.test("rope turns pairs by the position's angles as equation 34 of RoFormer says", () => {
  const dims = {
    ...{ B: 1, T: 2, NH: 1, NKV: 1, HS: 4, L: 3 },
    ...{ inverse: false, start: false },
  };
  const x = [5, 6, 7, 8];
  const qkv = [...x, ...x, ...x, ...x, ...x, ...x];
  // Angles t · 10000^(-2i/4): t and t / 100.
  const table = [0, 1, 2].flatMap((t) =>
    [t, t / 100].flatMap((angle) => [Math.cos(angle), Math.sin(angle)])
  );
  const [y] = compute("rope", { ...dims, interleaved: true }, [qkv, table]);
  assertClose(y!.subarray(0, 12), qkv.slice(0, 12)); // Position 0.
  const turned = [-2.3473, 7.4492, 6.9197, 8.0696];
  assertClose(y!.subarray(12, 20), [...turned, ...turned], 5e-5);
  assertClose(y!.subarray(20), x);
  const [z] = compute("rope", { ...dims, interleaved: false }, [qkv, table]);
  const [cos, sin] = [Math.cos(1), Math.sin(1)];
  assertAlmostEquals(z![12]!, 5 * cos - 7 * sin);
  assertAlmostEquals(z![14]!, 7 * cos + 5 * sin);
});

Deno.test("attention shares key/value heads between neighbouring query heads", () => {
  const dims = { ...oneHead, T: 1, NH: 4, NKV: 2 };
  const [y] = compute("attention", dims, [[1, 1, 1, 1, 1, 1, 10, 20]]);
  assertEquals([...y!], [10, 10, 20, 20]);
});

Deno.test("attention with ALiBi prefers keys that are near", () => {
  // Without content the scores are -ln 2 · (i - j): weights 1 : 2 for the second query.
  const dims = { ...oneHead, slopes: [Math.LN2] };
  const [y, lse] = compute("attention", dims, [[0, 0, 30, 0, 0, 60]]);
  assertClose(y!, [30, 50]);
  assertClose(lse!, [0, Math.log(1.5)]);
});

Deno.test("attention treats future keys as the mask says", () => {
  // Every score is ln 3 (scale · 2 · 2 = 4 · scale). Query 0 weighs its own key and the future one.
  const scale = Math.log(3) / 4;
  const qkv = [2, 2, 100, 2, 2, 200];
  const expected = {
    causal: 100,
    none: 150, // 3 : 3
    zeroed: 125, // 3 : exp(0)
    finite: 140, // 3 : exp(ln 2)
  };
  for (const mask of ["causal", "none", "zeroed", "finite"] as const) {
    const dims = { ...oneHead, scale, mask, maskValue: Math.LN2 };
    const [y] = compute("attention", dims, [qkv]);
    assertClose(y!, [expected[mask], 150], 1e-12);
  }
});

Deno.test("attention masks a score after ALiBi", () => {
  // Without content: 0 for the own key, ln 2 for the future one, unless the mask replaces it.
  const qkv = [0, 0, 30, 0, 0, 60];
  const expected = { none: 50, zeroed: 45, finite: 52.5 };
  for (const mask of ["none", "zeroed", "finite"] as const) {
    const dims = { ...oneHead, mask, maskValue: Math.log(3) };
    const [y] = compute("attention", { ...dims, slopes: [Math.LN2] }, [qkv]);
    assertAlmostEquals(y![0]!, expected[mask], 1e-12, mask);
  }
});

Deno.test("attention drops the probabilities that dropout drops at the same indices", () => {
  const T = 5;
  const dims: AttentionDropoutDims = {
    ...{ ...oneHead, B: 2, T, NH: 3, NKV: 1, HS: T },
    ...{ mask: "none", scale: 0.3, dropout: 0.4, site: 6 },
  };
  // The value of key j is the unit vector j, so that y holds the probabilities themselves.
  const qkv = normals("qkv", 2 * T * 5 * T).map((x, at) => {
    const [row, column] = [Math.floor(at / (5 * T)), at % (5 * T)];
    if (column < 4 * T) return x;
    return column - 4 * T === row % T ? 1 : 0;
  });
  const key = [3, 4, 0, 0];
  const [p] = compute("attention", { ...dims, dropout: 0 }, [qkv]);
  const [y] = compute("attention", dims, [qkv, key]);
  // y[b,i,h,j] → [b,h,i,j]
  const byHead = (y: Float64Array) =>
    y.map((_, at) => {
      const [j, i] = [at % T, Math.floor(at / T) % T];
      const [h, b] = [Math.floor(at / T ** 2) % 3, Math.floor(at / T ** 2 / 3)];
      return y[((b * T + i) * 3 + h) * T + j]!;
    });
  const dropout = { n: y!.length, rate: 0.4, site: 6, residual: false };
  const [expected] = compute("dropout", dropout, [byHead(p!), key]);
  assertClose(byHead(y!), expected!);
  assert(expected!.includes(0));
});

Deno.test("attention does not see what a causal mask hides, bit for bit", () => {
  const dims = { ...oneHead, B: 1, T: 6, NH: 2, NKV: 1, HS: 3 };
  const qkv = normals("qkv", 6 * 4 * 3);
  const changed = qkv.map((x, i) => i < 4 * 12 ? x : -3 * x);
  const [before] = compute("attention", dims, [qkv]);
  const [after] = compute("attention", dims, [changed]);
  assertEquals(after!.subarray(0, 4 * 6), before!.subarray(0, 4 * 6));
  assert(after![4 * 6] !== before![4 * 6]);
});

Deno.test("cacheAppend writes the keys and values of tokens that count, from the start", () => {
  const dims = { B: 2, T: 2, L: 3, NH: 1, NKV: 1, HS: 1 };
  const cache = new Float64Array(12).fill(-1);
  const qkv = Float64Array.of(0, 1, 2, 0, 3, 4, 0, 5, 6, 0, 7, 8);
  const inputs = [qkv, Int32Array.of(1, 2), Int32Array.of(2, 1)];
  run("cacheAppend", [cache], inputs, dims);
  assertEquals([...cache], [-1, -1, 1, 2, 3, 4, -1, -1, -1, -1, 5, 6]);
});

Deno.test("attentionCached gives what attention gives, in one piece and token by token", () => {
  const shape = { B: 2, NH: 4, NKV: 2, HS: 3, scale: 0.5, maskValue: -1 };
  const [T, L, QKV] = [5, 7, 8 * 3];
  const qkv = normals("qkv", 2 * T * QKV);
  for (const mask of ["causal", "none", "zeroed", "finite"] as const) {
    const dims = { ...shape, mask, slopes: [0.5, 0.25, 0.125, 0.0625] };
    const [expected] = compute("attention", {
      ...dims,
      T,
      dropout: 0,
      site: 0,
    }, [qkv]);
    const cache = new Float64Array(2 * L * 2 * 2 * 3);
    const whole = { ...dims, T, L };
    const [start, count] = [Int32Array.of(0, 0), Int32Array.of(T, T)];
    run("cacheAppend", [cache], [qkv, start, count], whole);
    const [y] = compute("attentionCached", whole, [qkv, cache, start, count]);
    assertClose(y!, expected!);
    if (mask !== "causal") continue; // Others look at tokens that have not come yet.
    cache.fill(NaN);
    for (let t = 0; t < T; t++) {
      const token = Float64Array.from([0, 1].flatMap((b) => {
        const at = (b * T + t) * QKV;
        return [...qkv.subarray(at, at + QKV)];
      }));
      const inputs = [token, Int32Array.of(t, t), Int32Array.of(1, 1)] as const;
      run("cacheAppend", [cache], inputs, { ...whole, T: 1 });
      const [y] = compute("attentionCached", { ...whole, T: 1 }, [
        token,
        cache,
        ...inputs.slice(1),
      ]);
      for (const b of [0, 1]) {
        const at = (b * T + t) * 12;
        const row = y!.subarray(b * 12, b * 12 + 12);
        assertClose(row, expected!.subarray(at, at + 12));
      }
    }
  }
});

Deno.test("crossEntropy spreads the smoothing over all classes", () => {
  const dims = {
    ...{ rows: 2, V: 2, smoothing: 0.2 },
    ...{ gradient: true, gradientScale: 10 },
  };
  // p = (3/4, 1/4), q = (0.9, 0.1).
  const logits = [Math.log(3), 0, 5, 5];
  const [loss, dlogits] = compute("crossEntropy", dims, [logits, [0, -1]]);
  assertClose(loss!, [-0.9 * Math.log(0.75) - 0.1 * Math.log(0.25), 0]);
  assertClose(dlogits!, [-1.5, 1.5, 0, 0]);
});

Deno.test("lossSum scales the sum and puts it into the slot, or adds it there", () => {
  const dims = { rows: 3, scale: 0.5, slots: 2 };
  const total = Float64Array.of(10, 20);
  const inputs = [Float64Array.of(1, 2, 5), Int32Array.of(0, 0, 0, 1)];
  run("lossSum", [total], inputs, { ...dims, accumulate: true });
  assertEquals([...total], [10, 24]);
  run("lossSum", [total], inputs, { ...dims, accumulate: false });
  assertEquals([...total], [10, 4]);
});

Deno.test("squareSum sums over equal stretches, of which the last are short or empty", () => {
  const [partial] = compute("squareSum", { n: 5, parts: 4 }, [[1, 2, 3, 4, 5]]);
  assertEquals([...partial!], [5, 25, 25, 0]);
});

Deno.test("clip scales norms above the largest, and reports the norm before clipping", () => {
  const dims = { parts: 2, maxNorm: 1, slots: 2 };
  const [clip, metrics, loss] = [2, 8, 1].map((n) => new Float64Array(n));
  loss![0] = 3;
  const inputs = [Float64Array.of(9, 16), Int32Array.of(0, 0, 1, 0)];
  run("clip", [clip!, metrics!, loss!], inputs, dims);
  assertClose(clip!, [1 / (5 + 1e-6), 1]);
  assertEquals([...metrics!], [0, 0, 0, 0, 3, 5, 1, 0]);
  assertEquals(loss![0], 0);
});

Deno.test("adamw decays apart from the gradient and corrects its moments", () => {
  const dims = {
    ...{ n: 2, decayed: 1, beta1: 0.9, beta2: 0.99 },
    ...{ eps: 1e-8, weightDecay: 0.5 },
  };
  const params = Float64Array.of(1, 1);
  const grads = Float64Array.of(4, -4);
  const [m, v] = [new Float64Array(2), new Float64Array(2)];
  // The first step goes by the sign of the gradient, whatever its size.
  const schedule = Float64Array.of(0.1, 1 - 0.9, 1 - 0.99);
  run(
    "adamw",
    [params, grads, m, v],
    [Float64Array.of(0.5, 1), schedule],
    dims,
  );
  assertClose(params, [0.95 - 0.1, 1 + 0.1], 1e-9); // eps / 2 of a step.
  assertClose(m, [0.2, -0.2]);
  assertClose(v, [0.04, 0.04]);
  assertEquals([...grads], [0, 0]);
});

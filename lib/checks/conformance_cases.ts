/**
 * Cases of the conformance suite: every kernel with every flag of its dims, at shapes of 1,
 * odd shapes, shapes that are no multiple of a tile (4, 8, 16, 32, 64), and the shapes of the
 * presets. Attention and elementwise kernels have separate files. `conformance_operands.ts`
 * chooses operand values that a case does not give.
 */

import { activations, plainProduct } from "../../kernels/vocabulary.ts";
import { type Case, each, MANY, MANY_ROWS, vary } from "./conformance_case.ts";
import { attentionCases } from "./conformance_cases_attention.ts";
import { elementwiseCases, extremes } from "./conformance_cases_elementwise.ts";

const kinds = [{ kind: "layernorm" }, { kind: "rmsnorm" }] as const;
const withAndWithoutBias = [{ bias: true }, { bias: false }];
const setAndAccumulate = [{ accumulate: false }, { accumulate: true }];

const rowsAndChannels = [
  { rows: 1, C: 1 },
  { rows: 3, C: 7 },
  { rows: 37, C: 65 },
  { rows: 5, C: 128 },
];

const embeddingDims = { V: 65, L: 19, positions: true, start: true };

const embedding: Case[] = [
  ...each("embedding", [
    ...vary([{ B: 3, T: 7, C: 13, V: 11, L: 9 }, {
      B: 2,
      T: 16,
      C: 32,
      V: 65,
      L: 16,
    }], [
      { positions: false, start: false },
      { positions: true, start: false },
    ]),
    { ...embeddingDims, B: 1, T: 1, C: 1, V: 1, L: 1, start: false },
    { ...embeddingDims, B: 3, T: 1, C: 33 },
    { ...embeddingDims, B: 3, T: 5, C: 128 },
    // Padding rows reach past the last position.
    { ...embeddingDims, B: 3, T: 17, C: 12 },
    { B: 12, T: 64, C: 128, V: 65, L: 64, positions: true, start: false },
    { B: 1, T: MANY_ROWS, C: 64, V: 5, L: 1, positions: false, start: false },
  ]),
  ...each("embeddingBackward", [
    { rows: 1, C: 1, V: 1 },
    { rows: 21, C: 13, V: 11 },
    { rows: 40, C: 12, V: 300 },
    { rows: 768, C: 128, V: 65 },
    { rows: 100, C: 20, V: 5003 },
    { rows: MANY_ROWS, C: 3, V: 2 },
  ]),
  ...each("positionBackward", [
    { B: 1, T: 1, C: 1, L: 1 },
    { B: 3, T: 7, C: 13, L: 9 },
    { B: 5, T: 6, C: 12, L: 6 },
    { B: 12, T: 64, C: 128, L: 64 },
    { B: MANY_ROWS, T: 1, C: 2, L: 1 },
  ]),
  ...each("selectLast", [
    { B: 1, T: 1, C: 1 },
    { B: 3, T: 7, C: 13 },
  ]),
  {
    kernel: "selectLast",
    dims: { B: 5, T: 16, C: 128 },
    values: { count: [1, 0, 16, 7, 1] },
  },
];

const matmulShapes = [
  { M: 1, N: 1, K: 1 },
  { M: 3, N: 5, K: 7 },
  { M: 17, N: 65, K: 33 },
  { M: 64, N: 64, K: 64 },
  { M: 130, N: 100, K: 72 },
];
const nt = { ...plainProduct, form: "nt", bias: true } as const;
const nn = { ...plainProduct, form: "nn" } as const;
const tn = { ...plainProduct, form: "tn", accumulate: true } as const;

const matmul: Case[] = [
  ...each("matmul", [
    ...vary(matmulShapes, [nt, nn, tn]),
    // Flags that the forms above do not cover.
    ...vary([{ M: 20, N: 36, K: 24 }], [
      { ...nt, bias: false },
      { ...nt, accumulate: true },
      { ...nt, bias: false, accumulate: true },
      { ...nn, accumulate: true },
      { ...tn, accumulate: false },
    ]),
    ...vary(matmulShapes, [
      { ...nt, residual: true },
      { ...nt, bias: false, residual: true },
    ]),
    // One token, and a few rows, as in decoding.
    { ...nt, M: 1, N: 384, K: 128 },
    { ...nt, M: 5, N: 128, K: 512 },
    { ...nt, M: 2, N: 65, K: 128, bias: false },
    { ...nt, M: 1, N: 128, K: 512, residual: true },
    { ...nt, M: 6, N: 33, K: 40, bias: false, residual: true },
    // Few outputs and a long sum, split into equal and unequal ranges.
    { ...tn, M: 5, N: 3, K: 2048 },
    { ...tn, M: 36, N: 28, K: 777 },
    { ...nt, M: 3, N: 2, K: 1000 },
    { ...tn, M: 2, N: 3, K: MANY_ROWS },
    { ...nt, M: 2, N: 3, K: MANY_ROWS, residual: true },
    // Several products, as in Muon.
    ...vary([{ M: 3, N: 5, K: 7 }, { M: 12, N: 8, K: 20 }], [
      { ...nt, count: 4 },
      { ...nn, count: 3, residual: true, alpha: 2.0315, beta: -4.775 },
      { ...tn, count: 2, accumulate: false },
      { ...tn, count: 5, alpha: 0.5 },
    ]),
    ...vary([{ M: 64, N: 64, K: 256 }, { M: 70, N: 33, K: 300 }], [
      { ...nt, count: 3, residual: true, alpha: 0.5, beta: 3 },
      { ...nn, count: 2, residual: true, beta: 3.4445 },
      { ...tn, count: 3, accumulate: false },
    ]),
    { ...tn, count: 2, M: 2, N: 3, K: MANY_ROWS, alpha: 2 },
    // With an activation, or its derivative, in each variant of the product.
    ...activations.flatMap((kind) => [
      { ...nt, M: 70, N: 36, K: 24, activation: kind },
      { ...nn, M: 70, N: 36, K: 24, slope: kind },
    ]),
    ...vary(matmulShapes, [
      { ...nt, bias: false, activation: "gelu" as const },
      { ...nn, slope: "gelu" as const },
    ]),
    { ...nt, M: 1, N: 512, K: 128, activation: "gelu" },
    { ...nt, M: 3, N: 2, K: MANY_ROWS, activation: "relu" },
    { ...nn, M: 3, N: 2, K: MANY_ROWS, slope: "geluTanh" },
    // With the gradient of a bias.
    ...vary(matmulShapes, [{ ...tn, sums: true }]),
    // One row more than a multiple of 64.
    { ...tn, M: 3, N: 5, K: 65, sums: true },
    { ...tn, M: 4, N: 8, K: 129, sums: true },
    { ...tn, M: 12, N: 70, K: 100, sums: true },
    { ...tn, M: 65, N: 3, K: 2048, sums: true },
    { ...tn, M: 3, N: 2, K: MANY_ROWS, sums: true },
    // nano-cpu: rows 768, C 128, V 65, tied head.
    { ...nt, M: 768, N: 384, K: 128 },
    { ...nt, M: 768, N: 128, K: 512, residual: true },
    { ...nt, M: 768, N: 65, K: 128, bias: false },
    { ...nn, M: 768, N: 128, K: 65 },
    { ...tn, M: 65, N: 128, K: 768 },
    // original: rows 2048, C 128, MLP 512.
    { ...nn, M: 2048, N: 128, K: 512 },
    { ...tn, M: 512, N: 128, K: 2048, sums: true },
  ]),
];

const norm: Case[] = [
  ...each("norm", [
    ...vary(
      vary(rowsAndChannels, kinds),
      withAndWithoutBias.map((flag) => ({ ...flag, eps: 1e-5 })),
    ),
    // Among so many rows of 4 some have almost no variance; a large eps limits their error.
    { kind: "layernorm", rows: MANY_ROWS, C: 4, eps: 0.1, bias: true },
    { kind: "rmsnorm", rows: 4, C: 1000, eps: 0.5, bias: false },
  ]),
  // A mean far from 0: the difference of mean square and squared mean loses all digits.
  {
    kernel: "norm",
    dims: { kind: "layernorm", rows: 2, C: 64, eps: 1e-5, bias: true },
    values: { x: Array.from({ length: 128 }, (_, i) => 1000 + i * 37 % 64) },
    note: "far mean",
  },
  ...each("normBackward", [
    ...vary(
      vary(vary(rowsAndChannels, kinds), setAndAccumulate),
      withAndWithoutBias,
    ),
    ...[{ rows: 2048, C: 128 }, { rows: MANY_ROWS, C: 3 }].map((shape) => ({
      ...{ kind: "layernorm", accumulate: false, bias: true } as const,
      ...shape,
    })),
    // Where an invocation adds four rows in an iteration, as on software adapters, there are too many iterations.
    {
      ...{ kind: "rmsnorm", accumulate: false, bias: false },
      ...{ rows: 4 * MANY_ROWS, C: 1 },
    },
  ]),
];

const heads = [
  { NH: 1, NKV: 1, HS: 2 },
  { NH: 4, NKV: 2, HS: 8 },
  { NH: 6, NKV: 3, HS: 10 },
  { NH: 4, NKV: 4, HS: 32 },
];
const qkNormDims = vary([
  ...heads.map((shape, i) => ({ ...shape, rows: 2 * i + 1, eps: 1e-5 })),
  { rows: 5, NH: 2, NKV: 1, HS: 1, eps: 0.1 },
  { rows: 7, NH: 3, NKV: 1, HS: 5, eps: 0.3 },
  { rows: MANY_ROWS, NH: 1, NKV: 1, HS: 2, eps: 0.1 },
  { rows: 9, NH: 3, NKV: 2, HS: 20, eps: 0.1 },
], [{ gain: false }, { gain: true }]);

const perHead: Case[] = [
  ...each("qkNorm", qkNormDims),
  ...each("qkNormBackward", qkNormDims),
  ...each("rope", [
    ...vary(
      heads.map((shape, i) => ({ ...shape, B: i + 1, T: 2 * i + 1, L: 9 })),
      [
        { interleaved: true, inverse: false, start: false },
        { interleaved: false, inverse: false, start: true },
        { interleaved: true, inverse: true, start: true },
        { interleaved: false, inverse: true, start: false },
      ],
    ),
    {
      ...{ B: 1, T: MANY_ROWS, NH: 2, NKV: 1, HS: 16, L: 5 },
      ...{ interleaved: true, inverse: false, start: false },
    },
  ]),
];

const crossEntropyFlags = [
  { smoothing: 0, gradient: true, gradientScale: 1 },
  { smoothing: 0.1, gradient: true, gradientScale: 1 / 768 },
  { smoothing: 0, gradient: false, gradientScale: 1 },
  { smoothing: 0.3, gradient: false, gradientScale: 1 },
];
const training = { smoothing: 0.1, gradient: true, gradientScale: 1 / 768 };

const loss: Case[] = [
  ...each(
    "crossEntropy",
    vary([{ rows: 5, V: 11 }, { rows: 9, V: 65 }], crossEntropyFlags),
  ),
  ...each("crossEntropy", [
    { ...training, rows: 1, V: 1 },
    { ...training, rows: 768, V: 65 },
    { ...training, rows: 2048, V: 128 },
    { ...training, rows: 3, V: 5003 },
    { ...training, rows: MANY_ROWS, V: 3 },
    { ...training, rows: 2, V: MANY_ROWS },
  ]),
  {
    kernel: "crossEntropy",
    dims: { ...training, rows: 2, V: extremes.length },
    values: { logits: [...extremes, ...extremes.toReversed()] },
    note: "extremes",
  },
  ...each("lossSum", [
    { rows: 1, scale: 1, slots: 1, accumulate: false },
    { rows: 37, scale: 1 / 37, slots: 8, accumulate: false },
    { rows: 2048, scale: 1 / 2048, slots: 8, accumulate: true },
    { rows: MANY_ROWS, scale: 1, slots: 3, accumulate: true },
  ]),
];

const clipDims = { parts: 37, maxNorm: 1, slots: 8 };
const adamw = {
  ...{ beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1 },
};

const update: Case[] = [
  ...each("squareSum", [
    { n: 1, parts: 1 },
    { n: 10, parts: 7 }, // the last two parts are empty
    { n: 1003, parts: 13 },
    { n: 826240, parts: 256 },
    { n: MANY, parts: 1024 },
    { n: MANY_ROWS, parts: 1 },
  ]),
  ...each("clip", [
    clipDims,
    { ...clipDims, maxNorm: 0 },
    { ...clipDims, maxNorm: 1e6 }, // larger than the norm: no clipping
    { parts: 1, maxNorm: 0.5, slots: 1 },
    { parts: 1000, maxNorm: 2.5, slots: 3 },
  ]),
  {
    kernel: "clip",
    dims: { ...clipDims, parts: 3, maxNorm: 1e-6 },
    values: { partial: [0, 1e-12, 0] },
    note: "a norm of 1e-6",
  },
  ...[[Infinity], [NaN], [-Infinity]].map((loss): Case => ({
    kernel: "clip",
    dims: clipDims,
    values: { loss },
    note: `loss ${loss}`,
  })),
  ...[[1, Infinity, 1], [NaN, 1, 1]].map((partial): Case => ({
    kernel: "clip",
    dims: { ...clipDims, parts: 3 },
    values: { partial },
    note: `partial ${partial}`,
    // Without an update the clip factor is unspecified.
    unspecified: { clip: [0] },
  })),
  ...each("adamw", [
    { ...adamw, n: 1, decayed: 1 },
    { ...adamw, n: 7, decayed: 0 },
    { ...adamw, n: 1003, decayed: 517 },
    { ...adamw, n: 1024, decayed: 1024, beta2: 0.999, eps: 1e-2 },
    { ...adamw, n: MANY, decayed: MANY - 1 },
  ]),
  ...[[NaN], [Infinity], [2]].map(([g]): Case => ({
    kernel: "adamw",
    dims: { ...adamw, n: 5, decayed: 2 },
    values: { clip: [0.25, 0], grads: [1, 2, g!, 0, -3] },
    note: `skipped, gradient ${g}`,
  })),
  {
    kernel: "adamw",
    dims: { ...adamw, n: 5, decayed: 5 },
    values: {
      clip: [1, 1],
      schedule: [1e-3, 0.1, 0.01],
      grads: [1, -1, 1e-4, 1e-9, 0],
      m: [0, 0, 0, 0, 0],
      v: [0, 0, 0, 0, 0],
    },
    note: "first step",
  },
];

/** A single array, whose stride has no meaning. */
const one = { count: 1, stride: 0 };
const descent = { rate: 20, scale: 1.4, weightDecay: 0.1 };

const directions: Case[] = [
  ...each("momentum", [
    { ...one, n: 1, momentum: 0.9, nesterov: false },
    { ...one, n: 7, momentum: 0.95, nesterov: true },
    { ...one, n: 1024, momentum: 0, nesterov: true },
    { ...one, n: 9001, momentum: 0.95, nesterov: true },
    { ...one, n: MANY, momentum: 0.9, nesterov: false },
    { count: 3, n: 5, stride: 64, momentum: 0.9, nesterov: true },
    { count: 4, n: 9000, stride: 9024, momentum: 0.95, nesterov: true },
  ]),
  ...[[NaN], [Infinity], [2]].map(([g]): Case => ({
    kernel: "momentum",
    dims: { ...one, n: 5, momentum: 0.9, nesterov: true },
    values: { clip: [0.25, 0], grads: [1, 2, g!, 0, -3] },
    note: `skipped, gradient ${g}`,
  })),
  ...each("normalize", [
    { count: 1, n: 1, parts: 1, eps: 1e-7 },
    { count: 1, n: 1003, parts: 13, eps: 1e-7 },
    { count: 1, n: 65536, parts: 64, eps: 0.5 },
    { count: 1, n: MANY, parts: 7, eps: 1e-7 },
    { count: 3, n: 35, parts: 5, eps: 1e-7 },
    { count: 4, n: 9000, parts: 3, eps: 0.5 },
  ]),
  ...each("descend", [
    { ...one, ...descent, n: 1, decayed: 1 },
    { ...one, ...descent, n: 7, decayed: 0 },
    { ...one, ...descent, n: 1003, decayed: 517 },
    { ...one, ...descent, n: 9001, decayed: 9001 },
    { ...one, ...descent, n: MANY, decayed: MANY - 1 },
    { ...descent, count: 3, n: 5, stride: 64, decayed: 5 },
    { ...descent, count: 4, n: 9000, stride: 9024, decayed: 4100 },
  ]),
  {
    kernel: "descend",
    dims: { ...one, ...descent, n: 5, decayed: 2 },
    values: { clip: [1, 0], direction: [1, NaN, Infinity, 0, -3] },
    note: "skipped",
  },
];

/** Rows of logits with many equal values in each, also with both zeros. */
const equals = [[2, 1, 2, 2, 0, -0, 2], [0, -0, 0, -0, -1, 0, 0]];
const greedy = [1, 1, 1, 0, 1];

const sampling: Case[] = [
  ...each("lastTokens", [
    { B: 1, T: 1, S: 1 },
    { B: 3, T: 1, S: 20 },
    { B: 5, T: 13, S: 16 },
  ]),
  ...each("choose", [
    { B: 1, T: 1, V: 1, S: 1 },
    { B: 14, T: 1, V: 65, S: 20 },
    { B: 8, T: 3, V: 128, S: 64 },
    { B: 7, T: 1, V: 5003, S: 33 },
    { B: 7, T: 16, V: MANY_ROWS, S: 2 },
    { B: 7, T: 1, V: 4 * MANY_ROWS, S: 2 },
  ]),
  // Of equal logits the first ones are kept.
  ...[0, 1, 2, 3].map((seed): Case => ({
    kernel: "choose",
    dims: { B: 4, T: 1, V: 7, S: 4 },
    values: {
      logits: [...equals, ...equals].flat(),
      settings: [
        ...[greedy, greedy, [1, 3, 1, 0, 1], [1, 0, 0.6, 0, 1]].flat(),
      ],
      state: [0, 1, 2, 3].flatMap((row) => [seed, row, 5, 9]),
    },
    note: `equal logits, seed ${seed}`,
  })),
  {
    kernel: "choose",
    dims: { B: 4, T: 2, V: 3, S: 4 },
    values: {
      logits: [1, NaN, 2, 1, 2, Infinity, -Infinity, 0, 0, -3e38, 3e38, 1],
    },
    note: "logits that are not finite, and the largest finite ones",
  },
];

/** All cases of the suite. */
export const conformanceCases: readonly Case[] = [
  ...embedding,
  ...matmul,
  ...norm,
  ...perHead,
  ...elementwiseCases,
  ...attentionCases,
  ...loss,
  ...update,
  ...directions,
  ...sampling,
];

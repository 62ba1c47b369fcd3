/**
 * The cases of the conformance suite, except attention's (`conformance_cases_attention.ts`):
 * every kernel, at shapes of 1, odd ones, ones that no tile (4, 8, 16, 32, 64) divides, and
 * those of the presets, with every flag of its dims. What the operands hold, where a case
 * does not say, is decided in `conformance_operands.ts`.
 */

import type {
  Activation,
  KernelDims,
  KernelName,
} from "../kernels/vocabulary.ts";
import { attentionCases } from "./conformance_cases_attention.ts";

/** One kernel with certain dims on certain numbers. */
export type Case = {
  readonly [Name in KernelName]: {
    readonly kernel: Name;
    readonly dims: KernelDims[Name];
    /** What some operands hold, by their names. */
    readonly values?: Readonly<Record<string, readonly number[]>>;
    /** What tells this case from another with the same dims. */
    readonly note?: string;
    /** Elements of outputs about which the vocabulary says nothing. */
    readonly unspecified?: Readonly<Record<string, readonly number[]>>;
  };
}[KernelName];

/** More elements than 65535 workgroups of 64 threads have: a grid must fold. */
const MANY = 65536 * 64 + 1;

/** More rows than the 65535 workgroups that one dimension of a grid may have. */
const MANY_ROWS = 65539;

/** A case for each of these dims. */
function each<Name extends KernelName>(
  kernel: Name,
  dims: readonly KernelDims[Name][],
): Case[] {
  return dims.map((dims) => ({ kernel, dims }) as unknown as Case);
}

/** The dims with each combination of the flags' values. */
function vary<Dims extends object, Flags extends object>(
  dims: readonly Dims[],
  flags: readonly Flags[],
): (Dims & Flags)[] {
  return dims.flatMap((dims) => flags.map((flag) => ({ ...dims, ...flag })));
}

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
  ]),
  ...each("positionBackward", [
    { B: 1, T: 1, C: 1, L: 1 },
    { B: 3, T: 7, C: 13, L: 9 },
    { B: 5, T: 6, C: 12, L: 6 },
    { B: 12, T: 64, C: 128, L: 64 },
  ]),
  ...each("selectLast", [
    { B: 1, T: 1, C: 1 },
    { B: 3, T: 7, C: 13 },
    { B: 4, T: 16, C: 128 },
  ]),
];

const matmulShapes = [
  { M: 1, N: 1, K: 1 },
  { M: 3, N: 5, K: 7 },
  { M: 17, N: 65, K: 33 },
  { M: 64, N: 64, K: 64 },
  { M: 130, N: 100, K: 72 },
];
const nt = { form: "nt", bias: true, accumulate: false } as const;
const nn = { form: "nn", bias: false, accumulate: false } as const;
const tn = { form: "tn", bias: false, accumulate: true } as const;

const matmul: Case[] = [
  ...each("matmul", [
    ...vary(matmulShapes, [nt, nn, tn]),
    // The flags that the forms above leave out.
    ...vary([{ M: 17, N: 65, K: 33 }, { M: 20, N: 36, K: 24 }], [
      { ...nt, bias: false },
      { ...nt, accumulate: true },
      { ...nt, bias: false, accumulate: true },
      { ...nn, accumulate: true },
      { ...tn, accumulate: false },
    ]),
    // One token, and a few rows, as in decoding.
    { ...nt, M: 1, N: 384, K: 128 },
    { ...nt, M: 5, N: 128, K: 512 },
    { ...nt, M: 2, N: 65, K: 128, bias: false },
    // Few outputs and a long sum, with stretches that are equal and not.
    { ...tn, M: 5, N: 3, K: 2048 },
    { ...tn, M: 36, N: 28, K: 777 },
    { ...nt, M: 3, N: 2, K: 1000 },
    // nano-cpu: rows 768, C 128, V 65, tied head.
    { ...nt, M: 768, N: 65, K: 128, bias: false },
    { ...nn, M: 768, N: 128, K: 65 },
    { ...tn, M: 65, N: 128, K: 768 },
    // original: rows 2048, C 128, MLP 512.
    { ...nt, M: 2048, N: 384, K: 128 },
    { ...nn, M: 2048, N: 128, K: 512 },
    { ...tn, M: 512, N: 128, K: 2048 },
  ]),
  ...each("columnSum", [
    { rows: 1, N: 1 },
    { rows: 37, N: 65 },
    { rows: 100, N: 12 },
    { rows: 2048, N: 128 },
    { rows: MANY_ROWS, N: 3 },
  ]),
];

const norm: Case[] = [
  ...each("norm", [
    ...vary(
      vary(rowsAndChannels, kinds),
      withAndWithoutBias.map((flag) => ({ ...flag, eps: 1e-5 })),
    ),
    { kind: "layernorm", rows: MANY_ROWS, C: 4, eps: 1e-5, bias: true },
    { kind: "rmsnorm", rows: 4, C: 1000, eps: 0.5, bias: false },
  ]),
  // A mean far from 0, where the difference of mean square and squared mean has no digits left.
  {
    kernel: "norm",
    dims: { kind: "layernorm", rows: 2, C: 64, eps: 1e-5, bias: true },
    values: { x: Array.from({ length: 128 }, (_, i) => 1000 + i * 37 % 64) },
    note: "far mean",
  },
  ...each("normBackward", [
    ...vary(vary(rowsAndChannels, kinds), setAndAccumulate),
    {
      kind: "layernorm",
      rows: MANY_ROWS,
      C: 4,
      accumulate: false,
    },
  ]),
  ...each("normBackwardWeights", [
    ...vary(rowsAndChannels, withAndWithoutBias),
    { rows: 2048, C: 128, bias: true },
    { rows: MANY_ROWS, C: 3, bias: true },
  ]),
];

const heads = [
  { NH: 1, NKV: 1, HS: 2 },
  { NH: 4, NKV: 2, HS: 8 },
  { NH: 6, NKV: 3, HS: 10 },
  { NH: 4, NKV: 4, HS: 32 },
];
const qkNormDims = [
  ...heads.map((shape, i) => ({ ...shape, rows: 2 * i + 1, eps: 1e-5 })),
  { rows: 5, NH: 2, NKV: 1, HS: 1, eps: 1e-5 },
  { rows: 7, NH: 3, NKV: 1, HS: 5, eps: 0.3 },
  { rows: MANY_ROWS, NH: 2, NKV: 1, HS: 16, eps: 1e-5 },
];

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

const activations: readonly Activation[] = [
  "geluTanh",
  "gelu",
  "relu",
  "relu2",
];
/** Where exp overflows in 32 bits, where tanh and erf are flat, where nothing is left of 1 + x. */
const extremes = [0, 1e-8, 1, 5, 10, 30, 100, 1e4].flatMap((x) => [x, -x]);
const counts = [{ n: 1 }, { n: 7 }, { n: 1000 }];
const n = extremes.length;

const elementwise: Case[] = [
  ...activations.flatMap((kind): Case[] => [
    ...each("activation", vary(counts, [{ kind }])),
    ...each("activationBackward", vary(counts, [{ kind }])),
    {
      kernel: "activation",
      dims: { kind, n },
      values: { x: extremes },
      note: "extremes",
    },
    {
      kernel: "activationBackward",
      dims: { kind, n },
      values: { x: extremes },
      note: "extremes",
    },
  ]),
  ...each("activation", [{ kind: "geluTanh", n: MANY }]),
  ...each("activationBackward", [{ kind: "geluTanh", n: MANY }]),
  ...each("swiglu", [...counts, { n: MANY }]),
  ...each("swigluBackward", [...counts, { n: MANY }]),
  {
    kernel: "swiglu",
    dims: { n },
    values: { gate: extremes },
    note: "extremes",
  },
  {
    kernel: "swigluBackward",
    dims: { n },
    values: { gate: extremes },
    note: "extremes",
  },
  ...each("softcap", vary([...counts, { n: MANY }], [{ cap: 5 }])),
  ...each("softcap", [{ n: 1000, cap: 0.5 }]),
  ...each("softcapBackward", vary([...counts, { n: MANY }], [{ cap: 1.5 }])),
  {
    kernel: "softcap",
    dims: { n, cap: 30 },
    values: { x: extremes },
    note: "extremes",
  },
  ...each("add", [...counts, { n: MANY }]),
  ...each("copy", [...counts, { n: MANY }]),
];

/** A key whose words are negative as signed integers. */
const largeKey = [0xdeadbeef | 0, 0x9abcdef0 | 0, 0, 0];

const dropout: Case[] = [
  ...each("dropout", vary([...counts, { n: MANY }], [{ rate: 0.2, site: 3 }])),
  ...each("dropout", [
    { n: 1000, rate: 0.5, site: 0 },
    { n: 1000, rate: 0.999, site: 0xfffff },
  ]),
  {
    kernel: "dropout",
    dims: { n: 4096, rate: 0.1, site: 65 },
    values: { x: new Array(4096).fill(1), key: largeKey },
    note: "all ones",
  },
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
  ]),
  {
    kernel: "crossEntropy",
    dims: { ...training, rows: 2, V: n },
    values: { logits: [...extremes, ...extremes.toReversed()] },
    note: "extremes",
  },
  ...each("lossSum", [
    { rows: 1, scale: 1, slots: 1, accumulate: false },
    { rows: 37, scale: 1 / 37, slots: 8, accumulate: false },
    { rows: 2048, scale: 1 / 2048, slots: 8, accumulate: true },
    { rows: 16384, scale: 1, slots: 3, accumulate: true },
  ]),
];

const clipDims = { parts: 37, maxNorm: 1, slots: 8 };
const huge = [1, 3e38, 3e38]; // The sum overflows 32 bits; so it is infinite there.
const adamw = {
  ...{ beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1 },
};

const update: Case[] = [
  ...each("squareSum", [
    { n: 1, parts: 1 },
    { n: 10, parts: 7 }, // The last two stretches are empty.
    { n: 1003, parts: 13 },
    { n: 826240, parts: 256 },
    { n: MANY, parts: 64 },
  ]),
  ...each("clip", [
    clipDims,
    { ...clipDims, maxNorm: 0 },
    { ...clipDims, maxNorm: 1e6 }, // Larger than the norm: no clipping.
    { parts: 1, maxNorm: 0.5, slots: 1 },
    { parts: 1000, maxNorm: 2.5, slots: 3 },
  ]),
  ...[[Infinity], [NaN], [-Infinity]].map((loss): Case => ({
    kernel: "clip",
    dims: clipDims,
    values: { loss },
    note: `loss ${loss}`,
  })),
  ...[[1, Infinity, 1], [NaN, 1, 1], huge].map((partial): Case => ({
    kernel: "clip",
    dims: { ...clipDims, parts: 3 },
    values: { partial },
    note: `partial ${partial}`,
    // Nothing is updated, so by how much the gradients would be scaled is left open.
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

/** Every case. */
export const conformanceCases: readonly Case[] = [
  ...embedding,
  ...matmul,
  ...norm,
  ...perHead,
  ...elementwise,
  ...dropout,
  ...attentionCases,
  ...loss,
  ...update,
];

/** Cases of the conformance suite for elementwise kernels. */

import { activations, plainProduct } from "../../kernels/vocabulary.ts";
import { type Case, each, MANY, vary } from "./conformance_case.ts";

/** Extreme inputs: exp overflows in 32 bits, tanh and erf are flat, or 1 + x rounds to 1. */
export const extremes: readonly number[] = [0, 1e-8, 1, 5, 10, 30, 100, 1e4]
  .flatMap((x) => [x, -x]);
const counts = [{ n: 1 }, { n: 7 }, { n: 1000 }];
const n = extremes.length;
const withOne = { ...plainProduct, form: "nn", N: 1, K: 1 } as const;

const elementwise: Case[] = [
  ...activations.flatMap((kind): Case[] => [
    // The product with 1: of a sum of one term nothing is lost.
    ...each(
      "matmul",
      [{ activation: kind }, { slope: kind }].flatMap((flag) => [
        { ...withOne, M: 7, ...flag },
        { ...withOne, M: 1, N: 1000, ...flag },
      ]),
    ),
    {
      kernel: "matmul",
      dims: { ...withOne, M: n, activation: kind },
      values: { a: extremes, b: [1] },
      note: "extremes",
    },
    {
      kernel: "matmul",
      dims: { ...withOne, M: n, slope: kind },
      values: { b: [1], x: extremes },
      note: "extremes",
    },
  ]),
  ...each("swiglu", counts),
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
  ...each("softcap", vary(counts, [{ cap: 5 }])),
  ...each("softcap", [{ n: 1000, cap: 0.5 }]),
  ...each("softcapBackward", vary(counts, [{ cap: 1.5 }])),
  {
    kernel: "softcap",
    dims: { n, cap: 30 },
    values: { x: extremes },
    note: "extremes",
  },
  ...each("add", counts),
  ...each("copy", [...counts, { n: MANY }]),
];

/** A key whose words are negative as signed integers. */
const largeKey = [0xdeadbeef | 0, 0x9abcdef0 | 0, 0, 0];

const dropout: Case[] = [
  ...each(
    "dropout",
    vary([...counts, { n: MANY }], [
      { rate: 0.2, site: 3, residual: false },
      { rate: 0.2, site: 3, residual: true },
    ]),
  ),
  ...each("dropout", [
    { n: 1000, rate: 0.5, site: 0, residual: false },
    { n: 1000, rate: 0.999, site: 0xfffff, residual: false },
  ]),
  {
    kernel: "dropout",
    dims: { n: 4096, rate: 0.1, site: 65, residual: false },
    values: { x: new Array(4096).fill(1), key: largeKey },
    note: "all ones",
  },
];

/** All cases of elementwise kernels. */
export const elementwiseCases: readonly Case[] = [...elementwise, ...dropout];

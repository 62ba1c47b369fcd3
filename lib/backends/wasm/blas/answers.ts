/** Products with known answers, which a BLAS must compute exactly before the engine trusts it. */

import type { Sgemm } from "./open.ts";

/** Sizes that reach the parts of a library: single rows and columns, odd remainders of its tiles, its small products, its packed blocks. */
const sizes: readonly (readonly [M: number, N: number, K: number])[] = [
  [1, 1, 1],
  [1, 37, 19],
  [33, 1, 7],
  [5, 7, 3],
  [16, 16, 16],
  [20, 32, 32],
  [61, 47, 33],
  [50, 44, 513],
];

const names = ["a·b", "a·bᵀ", "aᵀ·b"];

/** Factors of the product and of what y was before. */
const factors: readonly (readonly [alpha: number, beta: number])[] = [
  [1, 0],
  [1, 1],
  [2, -3],
];

/** Numbers between rows that belong to no matrix; a result there would be wrong, too. */
const GAP = 3;

/** Returns what is wrong with a library, with its first wrong product; undefined if all products are right. */
export function firstWrongProduct(
  on: (memory: WebAssembly.Memory) => Sgemm,
): string | undefined {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16 });
  const numbers = new Float32Array(memory.buffer);
  const sgemm = on(memory);
  for (const [i, [M, N, K]] of sizes.entries()) {
    for (const form of [0, 1, 2]) {
      // Each form meets each pair of factors.
      const [alpha, beta] = factors[(i + form) % factors.length]!;
      const dims = { form, M, N, K, alpha, beta };
      if (isRight(numbers, sgemm, dims)) continue;
      return `computes wrong products, the first ${alpha} · ${
        names[form]
      } + ${beta} · y of ${M}x${N}x${K}`;
    }
  }
  return undefined;
}

/**
 * Returns whether a product of small integers is right to the last bit, which it is in any order of summation.
 *
 * a[m,k] = u(m) · p(k) and b[k,n] = q(k) · v(n), so that y[m,n] = u(m) · v(n) · Σ p(k) q(k).
 */
function isRight(
  numbers: Float32Array,
  sgemm: Sgemm,
  { form, M, N, K, alpha, beta }: {
    readonly form: number;
    readonly M: number;
    readonly N: number;
    readonly K: number;
    readonly alpha: number;
    readonly beta: number;
  },
): boolean {
  const a = matrix(form === 2 ? K : M, form === 2 ? M : K, 16);
  const b = matrix(form === 1 ? N : K, form === 1 ? K : N, a.end);
  const y = matrix(M, N, b.end);
  const u = (m: number) => 1 + m % 3;
  const v = (n: number) => 2 - n % 5;
  const p = (k: number) => 1 + k % 4;
  const q = (k: number) => 3 - k % 5;
  numbers.fill(NaN, 0, y.end); // whatever is not an operand
  fill(a, (i, j) => form === 2 ? p(i) * u(j) : u(i) * p(j));
  fill(b, (i, j) => form === 1 ? v(i) * q(j) : q(i) * v(j));
  const before = (m: number, n: number) => m - n;
  if (beta !== 0) fill(y, before);
  sgemm(
    form,
    M,
    N,
    K,
    alpha,
    4 * a.at,
    a.stride,
    4 * b.at,
    b.stride,
    beta,
    4 * y.at,
    y.stride,
  );
  let sum = 0;
  for (let k = 0; k < K; k++) sum += p(k) * q(k);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < y.stride; n++) {
      const is = numbers[y.at + m * y.stride + n]!;
      const isOutside = n >= N;
      if (
        isOutside
          ? !Number.isNaN(is)
          : is !== alpha * u(m) * v(n) * sum + beta * before(m, n)
      ) return false;
    }
  }
  return true;

  function fill(
    { at, rows, columns, stride }: Matrix,
    value: (i: number, j: number) => number,
  ) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        numbers[at + i * stride + j] = value(i, j);
      }
    }
  }
}

/** A matrix in memory: its first number, its rows and columns, and the end of its memory. */
interface Matrix {
  readonly at: number;
  readonly rows: number;
  readonly columns: number;
  readonly stride: number;
  readonly end: number;
}

function matrix(rows: number, columns: number, at: number): Matrix {
  const stride = columns + GAP;
  return { at, rows, columns, stride, end: at + rows * stride };
}

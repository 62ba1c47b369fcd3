/** The reference kernel of linear maps: the product of two matrices. */

import type { KernelDims } from "../vocabulary.ts";
import { curves } from "./activation.ts";
import type { F64 } from "./kernel.ts";

/** y[m,n] (+)= α Σₖ a(m,k) · b(k,n) + bias[n] + β residual[m,n], where the form says which operand is stored transposed; then y · f′(x), or z = f(y). */
export function matmul(
  [y, second]: readonly [F64, F64?],
  [a, b, ...more]: readonly [F64, F64, F64?, F64?, F64?],
  dims: KernelDims["matmul"],
): void {
  const { form, count, M, N, K, alpha, beta, accumulate } = dims;
  const { activation, slope } = dims;
  const bias = dims.bias ? more.shift() : undefined;
  const residual = dims.residual ? more.shift() : undefined;
  if (dims.sums) sumRows(second!, a, dims);
  if (!accumulate) y.fill(0);
  const [aRow, aColumn] = form === "tn" ? [1, M] : [K, 1];
  for (let i = 0; i < count; i++) {
    const left = a.subarray(i * M * K, (i + 1) * M * K);
    const stored = b.subarray(i * N * K, (i + 1) * N * K);
    const right = form === "nt" ? transpose(stored, N, K) : stored; // (K, N)
    for (let m = 0; m < M; m++) {
      const at = (i * M + m) * N;
      const row = y.subarray(at, at + N);
      for (let k = 0; k < K; k++) {
        const factor = alpha * left[m * aRow + k * aColumn]!;
        for (let n = 0; n < N; n++) row[n]! += factor * right[k * N + n]!;
      }
      for (let n = 0; n < N; n++) {
        row[n]! += (bias?.[n] ?? 0) + beta * (residual?.[at + n] ?? 0);
      }
    }
  }
  for (let i = 0; slope !== null && i < y.length; i++) {
    y[i]! *= curves[slope].slope(more[0]![i]!);
  }
  for (let i = 0; activation !== null && i < y.length; i++) {
    second![i] = curves[activation].value(y[i]!);
  }
}

/** db[m] += Σₖ a[k,m]. */
function sumRows(db: F64, a: F64, { M, K }: KernelDims["matmul"]): void {
  for (let k = 0; k < K; k++) {
    for (let m = 0; m < M; m++) db[m]! += a[k * M + m]!;
  }
}

/** x[rows,columns] → [columns,rows], so that the inner loop of the product runs along memory. */
function transpose(x: F64, rows: number, columns: number): F64 {
  const result = new Float64Array(x.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = x[row * columns + column]!;
    }
  }
  return result;
}

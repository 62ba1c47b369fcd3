/** The reference kernel of linear maps: the product of two matrices. */

import type { KernelDims } from "../vocabulary.ts";
import type { F64 } from "./kernel.ts";

/** y[m,n] (+)= Σₖ a(m,k) · b(k,n) + bias[n] + residual[m,n], where the form says which operand is stored transposed. */
export function matmul(
  [y]: readonly [F64],
  [a, b, ...more]: readonly [F64, F64, F64?, F64?],
  dims: KernelDims["matmul"],
): void {
  const { form, M, N, K, accumulate } = dims;
  const bias = dims.bias ? more[0] : undefined;
  const residual = dims.residual ? more.at(-1) : undefined;
  if (!accumulate) y.fill(0);
  const [aRow, aColumn] = form === "tn" ? [1, M] : [K, 1];
  const right = form === "nt" ? transpose(b, N, K) : b; // (K, N)
  for (let m = 0; m < M; m++) {
    const row = y.subarray(m * N, (m + 1) * N);
    for (let k = 0; k < K; k++) {
      const factor = a[m * aRow + k * aColumn]!;
      for (let n = 0; n < N; n++) row[n]! += factor * right[k * N + n]!;
    }
    if (bias) addTo(row, bias);
    if (residual) addTo(row, residual.subarray(m * N, (m + 1) * N));
  }
}

/** sum += x, element by element. */
function addTo(sum: F64, x: F64): void {
  for (let n = 0; n < sum.length; n++) sum[n]! += x[n]!;
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

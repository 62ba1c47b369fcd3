/** Plain matrices in float64, and with them Muon's iteration: what the tests hold the plan's version against. */

/** Rows of numbers. */
export type Matrix = number[][];

/** a · b */
export function product(a: Matrix, b: Matrix): Matrix {
  return a.map((row) =>
    b[0]!.map((_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0))
  );
}

/** aᵀ */
export function transpose(a: Matrix): Matrix {
  return a[0]!.map((_, j) => a.map((row) => row[j]!));
}

/** alpha · a + beta · b */
export function blend(
  alpha: number,
  a: Matrix,
  beta: number,
  b: Matrix,
): Matrix {
  return a.map((row, i) => row.map((x, j) => alpha * x + beta * b[i]![j]!));
}

/** The root of the sum of squares. */
export function norm(a: Matrix): number {
  return Math.sqrt(a.flat().reduce((sum, x) => sum + x * x, 0));
}

/** Jordan's iteration, on the transpose where that has fewer rows. */
export function orthogonal(matrix: Matrix): Matrix {
  if (matrix.length > matrix[0]!.length) {
    return transpose(orthogonal(transpose(matrix)));
  }
  const size = norm(matrix) + 1e-7;
  let x = matrix.map((row) => row.map((value) => value / size));
  for (let i = 0; i < 5; i++) {
    const gram = product(x, transpose(x));
    const factor = blend(-4.775, gram, 2.0315, product(gram, gram));
    x = blend(3.4445, x, 1, product(factor, x));
  }
  return x;
}

/** A flat array as rows. */
export function matrixOf(flat: ArrayLike<number>, columns: number): Matrix {
  return Array.from(
    { length: flat.length / columns },
    (_, i) => Array.from(flat).slice(i * columns, (i + 1) * columns),
  );
}

/** Whether a symmetric matrix has positive eigenvalues only: whether Cholesky's decomposition exists. */
export function isPositiveDefinite(matrix: Matrix): boolean {
  const lower: Matrix = matrix.map((row) => row.map(() => 0));
  for (let i = 0; i < matrix.length; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = matrix[i]![j]!;
      for (let k = 0; k < j; k++) rest -= lower[i]![k]! * lower[j]![k]!;
      if (i === j && !(rest > 0)) return false;
      lower[i]![j] = i === j ? Math.sqrt(rest) : rest / lower[j]![j]!;
    }
  }
  return true;
}

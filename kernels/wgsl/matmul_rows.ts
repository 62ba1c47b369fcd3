/**
 * Matrix products with few rows for hardware, e.g. in decoding, with one token for each
 * row of the batch. Reading b takes most of the time of such a product. Sixteen invocations
 * share a column of y and take turns along K, so that they read adjacent elements.
 */

import type { Pass, Target } from "./kernel.ts";
import {
  activationsOf,
  type MatmulDims,
  parametersOf,
  widthsOf,
  writing,
} from "./matmul_product.ts";
import { fewestSlices } from "./matmul_slices.ts";
import { groups } from "./pass.ts";
import { indent, repeat } from "./text.ts";

/** The most rows of y; each invocation has a sum for each row. */
const FEW_ROWS = 8;

/** Invocations that share a column; a power of two, and at least FEW_ROWS. */
const SHARERS = 16;

/** Columns of a workgroup. */
const COLUMNS = 4;

/** Returns true if a product has so few rows that this is the fastest way to compute it. */
export function suitsFewRows({ form, count, M, K }: MatmulDims): boolean {
  return form === "nt" && count === 1 && M <= FEW_ROWS && fewestSlices(K) === 1;
}

/** Returns the pass that computes a product of form `nt` with at most {@linkcode FEW_ROWS} rows. */
export function fewRowsMatmul(dims: MatmulDims, target: Target): Pass {
  const { M, N, K } = dims;
  const { a } = widthsOf(dims);
  const size = SHARERS * COLUMNS;
  const row = K / a;
  return groups({
    target,
    // y, bias and residual are taken one by one here.
    parameters: parametersOf(dims).map((parameter) =>
      "ab".includes(parameter.name)
        ? parameter
        : { ...parameter, element: "f32" }
    ),
    count: Math.ceil(N / COLUMNS),
    size,
    declarations: `${activationsOf(dims, "f32")}
var<workgroup> sums: array<f32, ${M * size}>; // [${M}][${size}]`,
    body: `
let n = row * ${COLUMNS}u + local / ${SHARERS}u;
let sharer = local % ${SHARERS}u;
${repeat(M, (m) => `var s${m} = 0.0f;`)}
if (n < ${N}u) {
  for (var k = sharer; k < ${row}u; k += ${SHARERS}u) {
    let bk = b[n * ${row}u + k];
    ${
      indent(
        repeat(M, (m) => {
          const ak = `a[${m * row}u + k]`;
          return `s${m} += ${a === 4 ? `dot(${ak}, bk)` : `${ak} * bk`};`;
        }),
        4,
      )
    }
  }
}

// The sharers' sums come together as a tree of fixed shape.
${repeat(M, (m) => `sums[${m * size}u + local] = s${m};`)}
workgroupBarrier();
for (var reach = ${SHARERS / 2}u; reach > 0u; reach /= 2u) {
  if (sharer < reach) {
    for (var i = local; i < ${M * size}u; i += ${size}u) {
      sums[i] += sums[i + reach];
    }
  }
  workgroupBarrier();
}

// Sharer m writes row m.
if (sharer < ${M}u && n < ${N}u) {
  let at = sharer * ${N}u + n;
  let sum = sums[sharer * ${size}u + local - sharer];
  ${writing("sum", dims, { column: "bias[n]", element: "at" })}
}`,
  });
}

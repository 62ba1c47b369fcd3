/** What happens to query and key heads before attention: rotation by position, and query-key norm. */

import type { KernelDims, QkNormDims } from "../vocabulary.ts";
import type { Builder } from "./kernel.ts";
import {
  input,
  invocations,
  lanesOf,
  output,
  single,
  vectorOf,
} from "./pass.ts";
import { EACH, rowPass } from "./rows.ts";
import { f32 } from "./text.ts";

/**
 * (x, y) → (x cos − y sin, y cos + x sin) for each pair of a query or key head (arXiv 2104.09864,
 * eq. 34); the inverse turns the other way. An invocation for each pair of numbers in `qkv`.
 */
export const rope: Builder<KernelDims["rope"]> = (
  { B, T, NH, NKV, HS, L, interleaved, inverse, start },
  target,
) => {
  const pairs = (NH + 2 * NKV) * HS / 2; // in a row
  const turned = (NH + NKV) * HS / 2;
  const half = HS / 2;
  const position = start
    ? `row % ${T}u + u32(start[row / ${T}u])`
    : `row % ${T}u`;
  const places = interleaved
    ? `let a = 2u * i;
let b = a + 1u;`
    : `let a = i / ${half}u * ${HS}u + i % ${half}u;
let b = a + ${half}u;`;
  return single(invocations({
    target,
    parameters: [
      output(0, "y"),
      input(1, "qkv"),
      input(2, "table", "vec2f"),
      ...start ? [input(3, "start", "i32")] : [],
    ],
    count: B * T * pairs,
    body: `
let row = i / ${pairs}u; // b · T + t
let pair = i % ${pairs}u;
${places}
var x = vec2f(qkv[a], qkv[b]);
if (pair < ${turned}u) {
  let position = min(${position}, ${L - 1}u);
  let angle = table[position * ${half}u + pair % ${half}u];
  let cosine = angle.x;
  let sine = ${inverse ? "-angle.y" : "angle.y"};
  x = vec2f(x.x * cosine - x.y * sine, x.y * cosine + x.x * sine);
}
y[a] = x.x;
y[b] = x.y;`,
  }));
};

/** Each query and key head divided by sqrt(mean of its squares + eps); a "row" is a head, values pass. */
export const qkNorm: Builder<QkNormDims> = (
  { rows, NH, NKV, HS, eps },
  target,
) => {
  const lanes = lanesOf(HS);
  const F = vectorOf(lanes);
  return single(rowPass({
    target,
    parameters: [output(0, "y", F), input(1, "qkv", F)],
    count: rows * (NH + 2 * NKV),
    width: HS / lanes,
    lanes,
    reductions: ["total"],
    body: `
var squares = ${F}();
${EACH} {
  squares += qkv[k] * qkv[k];
}
let root = inverseSqrt(total(squares, local) / ${f32(HS)} + ${f32(eps)});
let scale = select(1.0f, root, row % ${NH + 2 * NKV}u < ${NH + NKV}u);
${EACH} {
  y[k] = qkv[k] * scale;
}`,
  }));
};

/** With r = 1 / sqrt(mean(x²) + eps): dx = r · (dy - x · r² · mean(dy · x)) for queries and keys, dy for values. */
export const qkNormBackward: Builder<QkNormDims> = (
  { rows, NH, NKV, HS, eps },
  target,
) => {
  const lanes = lanesOf(HS);
  const F = vectorOf(lanes);
  return single(rowPass({
    target,
    parameters: [output(0, "dqkv", F), input(1, "dy", F), input(2, "qkv", F)],
    count: rows * (NH + 2 * NKV),
    width: HS / lanes,
    lanes,
    reductions: ["total"],
    body: `
var squares = ${F}();
var product = ${F}();
${EACH} {
  squares += qkv[k] * qkv[k];
  product += dy[k] * qkv[k];
}
let root = inverseSqrt(total(squares, local) / ${f32(HS)} + ${f32(eps)});
let along = root * root * total(product, local) / ${f32(HS)};
let value = row % ${NH + 2 * NKV}u >= ${NH + NKV}u;
${EACH} {
  dqkv[k] = select(root * (dy[k] - qkv[k] * along), dy[k], value);
}`,
  }));
};

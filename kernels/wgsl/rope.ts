/** The rotation of query and key heads by their positions. */

import type { Builder } from "./kernel.ts";
import { invocations, operandsOf, single } from "./pass.ts";

/**
 * (x, y) → (x cos − y sin, y cos + x sin) for each pair of a query or key head (arXiv 2104.09864,
 * eq. 34); the inverse turns the other way. An invocation for each pair of numbers in `qkv`.
 */
export const rope: Builder<"rope"> = (dims, target) => {
  const { B, T, NH, NKV, HS, L, interleaved, inverse, start } = dims;
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
    parameters: operandsOf("rope", dims, { table: "vec2f" }),
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

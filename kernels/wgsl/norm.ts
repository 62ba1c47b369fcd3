/**
 * Layer norm (arXiv 1607.06450) and RMS norm (arXiv 1910.07467), forward and
 * backward; RMS norm is layer norm with the mean taken to be 0 and no bias.
 */

import { columnSums } from "./column_sum.ts";
import type { Builder } from "./kernel.ts";
import {
  lanesOf,
  operandsOf,
  single,
  SIZE,
  together,
  vectorOf,
} from "./pass.ts";
import { EACH, rowPass, rowShare } from "./rows.ts";
import { f32 } from "./text.ts";

/** y = (x - mean) · scale · weight + bias; stats = (mean, scale). */
export const norm: Builder<"norm"> = (dims, target) => {
  const { kind, rows, C, eps, bias } = dims;
  const lanes = lanesOf(C);
  const F = vectorOf(lanes);
  const mean = kind === "rmsnorm" ? "let mean = 0.0f;" : `
var sum = ${F}();
${EACH} {
  sum += x[k];
}
let mean = total(sum, local) / ${f32(C)};`;
  return single(rowPass({
    target,
    parameters: operandsOf("norm", dims, { f32: F, stats: "vec2f" }),
    count: rows,
    width: C / lanes,
    lanes,
    reductions: ["total"],
    body: `
${mean}
var squares = ${F}();
${EACH} {
  let distance = x[k] - mean;
  squares += distance * distance;
}
let scale = inverseSqrt(total(squares, local) / ${f32(C)} + ${f32(eps)});
${EACH} {
  let c = k - start;
  y[k] = (x[k] - mean) * scale * weight[c]${bias ? " + bias[c]" : ""};
}
if (leader) {
  stats[row] = vec2f(mean, scale);
}`,
  }));
};

/**
 * With g = dy · weight and n = (x - mean) · scale, over the channels of a row:
 * dx = scale · (g - mean(g) - n · mean(g · n)), where RMS norm has no mean(g).
 * Beside it, dweight += sum over rows of dy · n; dbias += sum over rows of dy.
 */
export const normBackward: Builder<"normBackward"> = (dims, target) => {
  const { kind, rows, C, bias, accumulate } = dims;
  const lanes = lanesOf(C);
  const F = vectorOf(lanes);
  const centred = kind === "layernorm";
  const weights = bias ? ["dweight", "dbias"] : ["dweight"];
  const operands = operandsOf("normBackward", dims, { f32: F, stats: "vec2f" });
  const ofRows = rowShare({
    target,
    parameters: operands.filter(({ name }) => !weights.includes(name)),
    count: rows,
    width: C / lanes,
    lanes,
    reductions: ["total"],
    body: `
let mean = stats[row].x;
let scale = stats[row].y;
var sum = ${F}();
var product = ${F}();
${EACH} {
  let g = dy[k] * weight[k - start];
  sum += g;
  product += g * (x[k] - mean);
}
let along = total(product, local) * scale / ${f32(C)}; // mean(g · n)
${
      centred
        ? `let level = total(sum, local) / ${f32(C)}; // mean(g)`
        : "let level = 0.0f;"
    }
${EACH} {
  let g = dy[k] * weight[k - start];
  let n = (x[k] - mean) * scale;
  dx[k] ${accumulate ? "+=" : "="} scale * (g - level - n * along);
}`,
  });
  const ofColumns = columnSums({
    ...{ rows, N: C, size: ofRows.size ?? SIZE },
    outputs: weights,
    inputs: operands.filter(({ name }) => ["dy", "x", "stats"].includes(name)),
    terms: ["dy[k] * (x[k] - stats[r].x) * stats[r].y", "dy[k]"]
      .slice(0, weights.length),
  }, target);
  return single(together(ofRows, ofColumns));
};

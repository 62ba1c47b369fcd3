/** The norm of query and key heads, forward and backward, with gains or without. */

import type { QkNormDims } from "../vocabulary.ts";
import { columnSums } from "./column_sum.ts";
import type { Builder } from "./kernel.ts";
import {
  alone,
  lanesOf,
  operandsOf,
  single,
  SIZE,
  together,
  vectorOf,
} from "./pass.ts";
import { EACH, rowPass, rowShare } from "./rows.ts";
import { f32 } from "./text.ts";

/**
 * Each query and key head divided by sqrt(mean of its squares + eps), and multiplied by its gain; a "row" is a head, values
 * pass.
 */
export const qkNorm: Builder<"qkNorm"> = (dims, target) => {
  const { rows, NH, NKV, HS, eps, gain } = dims;
  const lanes = lanesOf(HS);
  const F = vectorOf(lanes);
  return single(rowPass({
    target,
    parameters: operandsOf("qkNorm", dims, { f32: F, roots: "f32" }),
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
let head = row % ${NH + 2 * NKV}u;
let scale = select(1.0f, root, head < ${NH + NKV}u);
${EACH} {
  y[k] = qkv[k] * scale${gain ? ` * ${gainOf(dims, F)}` : ""};
}
${gain ? "if (leader) { roots[row] = scale; }" : ""}`,
  }));
};

/** Returns the gain of element `k` of the head `head` of a row, which begins at `start`: 1 for values. */
function gainOf({ NH, NKV }: QkNormDims, F: string): string {
  return `select(select(${F}(1.0f), kgain[k - start], head < ${
    NH + NKV
  }u), qgain[k - start], head < ${NH}u)`;
}

/**
 * With r = 1 / sqrt(mean(x²) + eps) and g = dy · gain: dx = r · (g - x · r² · mean(g · x)) for queries and keys, dy for values.
 * Beside it, the gradients of the gains += sum over rows and heads of dy · x · r.
 */
export const qkNormBackward: Builder<"qkNormBackward"> = (dims, target) => {
  const { rows, NH, NKV, HS, eps, gain } = dims;
  const lanes = lanesOf(HS);
  const F = vectorOf(lanes);
  const gains = ["dqgain", "dkgain"];
  const operands = operandsOf("qkNormBackward", dims, { f32: F, roots: "f32" });
  const g = gain ? `dy[k] * ${gainOf(dims, F)}` : "dy[k]";
  const ofHeads = rowShare({
    target,
    parameters: operands.filter(({ name }) =>
      !gains.includes(name) && name !== "roots"
    ),
    count: rows * (NH + 2 * NKV),
    width: HS / lanes,
    lanes,
    reductions: ["total"],
    body: `
let head = row % ${NH + 2 * NKV}u;
var squares = ${F}();
var product = ${F}();
${EACH} {
  squares += qkv[k] * qkv[k];
  product += ${g} * qkv[k];
}
let root = inverseSqrt(total(squares, local) / ${f32(HS)} + ${f32(eps)});
let along = root * root * total(product, local) / ${f32(HS)};
let value = head >= ${NH + NKV}u;
${EACH} {
  dqkv[k] = select(root * (${g} - qkv[k] * along), dy[k], value);
}`,
  });
  if (!gain) return single(alone(ofHeads));
  const heads = NH + 2 * NKV;
  // The sum over some heads of token r in column k - r * width, where a token has `heads` heads of `width` elements.
  const term = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => {
      const at = `k + (r * ${heads - 1}u + ${from + i}u) * width`;
      return `dy[${at}] * qkv[${at}] * roots[r * ${heads}u + ${from + i}u]`;
    }).join(" + ");
  const ofColumns = columnSums({
    ...{ rows, N: HS, size: ofHeads.size ?? SIZE },
    outputs: gains,
    inputs: operands.filter(({ name }) =>
      ["dy", "qkv", "roots"].includes(name)
    ),
    terms: [term(0, NH), term(NH, NKV)],
  }, target);
  return single(together(ofHeads, ofColumns));
};

/** Kernels of the loss: cross-entropy with its gradient, and the sum over rows. */

import type { Builder } from "./kernel.ts";
import { lanesOf, operandsOf, single, vectorOf } from "./pass.ts";
import { EACH, rowPass } from "./rows.ts";
import { f32 } from "./text.ts";

/**
 * With x the logits less their largest, p = softmax(x), s the smoothing and 1 the target's one-hot row:
 * rowLoss = log(sum of exp x) - (1 - s) · x[target] - s · mean(x),
 * dlogits = gradientScale · (p - (1 - s) · 1 - s / V). A target of -1 makes both 0.
 */
export const crossEntropy: Builder<"crossEntropy"> = (dims, target) => {
  const { rows, V, smoothing, gradient, gradientScale } = dims;
  const lanes = lanesOf(V);
  const F = vectorOf(lanes);
  const width = V / lanes;
  const hit = lanes === 1
    ? "logits[start + at]"
    : "logits[start + at / 4u][at % 4u]";
  const columns = lanes === 1
    ? "k - start"
    : "4u * (k - start) + vec4u(0u, 1u, 2u, 3u)";
  const smooth = smoothing > 0;
  return single(rowPass({
    target,
    parameters: operandsOf("crossEntropy", dims, { f32: F, rowLoss: "f32" }),
    count: rows,
    width,
    lanes,
    reductions: ["largest", "total"],
    body: `
let counts = targets[row] >= 0;
let at = u32(clamp(targets[row], 0, ${V - 1}));
var most = logits[start];
${EACH} {
  most = max(most, logits[k]);
}
let top = largest(most, local);
var weights = ${F}();
${smooth ? `var sum = ${F}();\n` : ""}${EACH} {
  weights += exp(logits[k] - top);
${smooth ? "  sum += logits[k] - top;\n" : ""}}
let weight = total(weights, local);
${smooth ? `let mean = total(sum, local) / ${f32(V)};\n` : ""}if (leader) {
  let loss = log(weight) - ${
      smooth
        ? `${f32(1 - smoothing)} * (${hit} - top) - ${f32(smoothing)} * mean`
        : `(${hit} - top)`
    };
  rowLoss[row] = select(0.0f, loss, counts);
}
${
      gradient
        ? `let scale = select(0.0f, ${f32(gradientScale)}, counts);
${EACH} {
  let aim = select(${F}(${f32(smoothing / V)}), ${F}(${
          f32(1 - smoothing + smoothing / V)
        }), ${columns} == ${lanes === 1 ? "at" : "vec4u(at)"});
  dlogits[k] = scale * (exp(logits[k] - top) / weight - aim);
}`
        : ""
    }`,
  }));
};

/** losses[key[3]] = (or +=) scale · sum of rowLoss: one workgroup, as a tree. */
export const lossSum: Builder<"lossSum"> = (dims, target) => {
  const { rows, scale, slots, accumulate } = dims;
  return single(rowPass({
    target: { ...target, tiling: "workgroup" },
    parameters: operandsOf("lossSum", dims, { key: "u32" }),
    count: 1,
    width: rows,
    lanes: 1,
    reductions: ["total"],
    body: `
var sum = 0.0f;
${EACH} {
  sum += rowLoss[k];
}
let loss = ${f32(scale)} * total(sum, local);
if (leader) {
  losses[min(key[3], ${slots - 1}u)] ${accumulate ? "+=" : "="} loss;
}`,
  }));
};

/** The end of a training step: global gradient norm, clipping, AdamW, and the parts of SGD and Muon. */

import type { Builder, Pass } from "./kernel.ts";
import {
  ALIGNMENT,
  elementwise,
  input,
  inRanges,
  invocations,
  lanesOf,
  operandsOf,
  output,
  single,
  vectorOf,
} from "./pass.ts";
import { EACH, rowPass } from "./rows.ts";
import { f32 } from "./text.ts";

/**
 * partial[p] = sum of squares of the p-th stretch; a "row" is a stretch, the last may be short or empty. A pass reads
 * as many whole stretches as the adapter can bind, so the sums do not depend on how the stretches are divided into passes.
 */
export const squareSum: Builder<"squareSum"> = ({ n, parts }, target) => {
  const stretch = Math.ceil(n / parts);
  const lanes = lanesOf(n, stretch);
  const F = vectorOf(lanes);
  const passes: Pass[] = [];
  let part = 0;
  while (part < parts) {
    const begin = part * stretch;
    const offset = begin - begin % ALIGNMENT;
    const reach = offset + target.bindingSize / 4;
    // At least one stretch: if that is too long to bind, the check of passes refuses it.
    const next = reach >= n
      ? parts
      : Math.max(part + 1, Math.floor(reach / stretch));
    const length = Math.min(n, next * stretch) - offset;
    passes.push(rowPass({
      target,
      parameters: [
        output("partial"),
        input("grads", F, { offset, length }),
      ],
      count: next - part,
      skipped: (begin - offset) / lanes,
      width: stretch / lanes,
      length: length / lanes,
      lanes,
      reductions: ["total"],
      body: `
var squares = ${F}();
${EACH} {
  squares += grads[k] * grads[k];
}
let sum = total(squares, local);
if (leader) {
  partial[${part === 0 ? "row" : `row + ${part}u`}] = sum;
}`,
    }));
    part = next;
  }
  return { passes, scratch: {} };
};

/**
 * clip = (min(1, maxNorm / (norm + 1e-6)), 1 where norm and loss are finite), metrics[key[2]] = (loss, norm, finite, 0),
 * loss = 0, or stays what is not finite. Finite is tested by exponent bits, since WGSL may assume that there is no NaN.
 */
export const clip: Builder<"clip"> = (dims, target) => {
  const { parts, maxNorm, slots } = dims;
  return single(rowPass({
    target: { ...target, tiling: "workgroup" },
    parameters: operandsOf("clip", dims, { metrics: "vec4f", key: "u32" }),
    declarations: `
fn finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}`,
    count: 1,
    width: parts,
    lanes: 1,
    reductions: ["total"],
    body: `
var sum = 0.0f;
${EACH} {
  sum += partial[k];
}
let square = total(sum, local);
if (leader) {
  let norm = sqrt(square);
  let sound = select(0.0f, 1.0f, finite(square) && finite(loss[0]));
  clip[0] = ${
      maxNorm === 0 ? "1.0f" : `min(1.0f, ${f32(maxNorm)} / (norm + 1e-6f))`
    };
  clip[1] = sound;
  metrics[min(key[2], ${slots - 1}u)] = vec4f(loss[0], norm, sound, 0.0f);
  loss[0] = select(loss[0] + square, 0.0f, sound == 1.0f);
}`,
  }));
};

/** Returns the WGSL condition that element i of a range that begins at `offset` is one of the first `end` numbers of the whole operand. */
function isBefore(end: number, offset: number, lanes: 1 | 4): string {
  const index = offset === 0 ? "i" : `i + ${offset / lanes}u`;
  return `${index} < ${end / lanes}u`;
}

/** AdamW (arXiv 1711.05101, algorithm 2), with eps outside the root and the gradient cleared at the end. */
export const adamw: Builder<"adamw"> = (
  { n, decayed, beta1, beta2, eps, weightDecay },
  target,
) => {
  const lanes = lanesOf(n, decayed);
  const F = vectorOf(lanes);
  const decay = `schedule[0] * ${f32(weightDecay)}`;
  const kept = (offset: number) =>
    decayed === 0 || weightDecay === 0
      ? "params[i]"
      : decayed === n
      ? `params[i] * (1.0f - ${decay})`
      : `params[i] * (1.0f - select(0.0f, ${decay}, ${
        isBefore(decayed, offset, lanes)
      }))`;
  return inRanges(n, target, (range) =>
    invocations({
      target,
      parameters: [
        output("params", F, range),
        output("grads", F, range),
        output("m", F, range),
        output("v", F, range),
        input("clip"),
        input("schedule"),
      ],
      count: range.length / lanes,
      body: `
if (clip[1] != 0.0f) {
  let g = clip[0] * grads[i];
  let first = ${f32(beta1)} * m[i] + ${f32(1 - beta1)} * g;
  let second = ${f32(beta2)} * v[i] + ${f32(1 - beta2)} * g * g;
  m[i] = first;
  v[i] = second;
  let kept = ${kept(range.offset)};
  params[i] = kept - schedule[0] * (first / schedule[1]) / (sqrt(second / schedule[2]) + ${
        f32(eps)
      });
}
grads[i] = ${F}();`,
    }));
};

/** m = momentum · m + g; the direction is m or, by Nesterov, g + momentum · m. Gradients are cleared. */
export const momentum: Builder<"momentum"> = (
  { n, momentum, nesterov },
  target,
) => {
  const lanes = lanesOf(n);
  const F = vectorOf(lanes);
  const mu = f32(momentum);
  return inRanges(n, target, (range) =>
    invocations({
      target,
      parameters: [
        output("direction", F, range),
        output("grads", F, range),
        output("m", F, range),
        input("clip"),
      ],
      count: range.length / lanes,
      body: `
if (clip[1] != 0.0f) {
  let g = clip[0] * grads[i];
  let mean = ${mu} * m[i] + g;
  m[i] = mean;
  direction[i] = ${nesterov ? `g + ${mu} * mean` : "mean"};
} else {
  direction[i] = ${F}();
}
grads[i] = ${F}();`,
    }));
};

/** y = x / (√Σ partial + eps). There are few parts, and every invocation adds them up. */
export const normalize: Builder<"normalize"> = (dims, target) => {
  const { n, parts, eps } = dims;
  const lanes = lanesOf(n);
  const F = vectorOf(lanes);
  return single(invocations({
    target,
    parameters: operandsOf("normalize", dims, { f32: F, partial: "f32" }),
    count: n / lanes,
    body: `
var square = 0.0f;
for (var part = 0u; part < ${parts}u; part++) {
  square += partial[part];
}
y[i] = x[i] / (sqrt(square) + ${f32(eps)});`,
  }));
};

/** y = alpha · a + beta · b. */
export const combine: Builder<"combine"> = elementwise(
  "combine",
  ({ alpha, beta }) => ({
    body: `y[i] = ${f32(alpha)} * a[i] + ${f32(beta)} * b[i];`,
  }),
);

/** p -= lr · (weightDecay · p + scale · direction), the decay for the first `decayed` elements. */
export const descend: Builder<"descend"> = (
  { n, decayed, rate, scale, weightDecay },
  target,
) => {
  const lanes = lanesOf(n, decayed);
  const F = vectorOf(lanes);
  const decay = (offset: number) =>
    decayed === 0 || weightDecay === 0
      ? ""
      : decayed === n
      ? `${f32(weightDecay)} * params[i] + `
      : `select(0.0f, ${f32(weightDecay)}, ${
        isBefore(decayed, offset, lanes)
      }) * params[i] + `;
  return inRanges(n, target, (range) =>
    invocations({
      target,
      parameters: [
        output("params", F, range),
        input("direction", F, range),
        input("clip"),
        input("schedule"),
      ],
      count: range.length / lanes,
      body: `
if (clip[1] != 0.0f) {
  params[i] = params[i] - ${f32(rate)} * schedule[0] * (${decay(range.offset)}${
        f32(scale)
      } * direction[i]);
}`,
    }));
};

/** The end of a training step: global gradient norm, clipping, AdamW, and the parts of SGD and Muon. */

import {
  type KernelDims,
  LEAST_MOMENTUM,
  LEAST_NORMAL,
} from "../vocabulary.ts";
import type { Builder, Lowering, Pass, Range, Target } from "./kernel.ts";
import {
  ALIGNMENT,
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
  let newFirst = ${f32(beta1)} * m[i] + ${f32(1 - beta1)} * g;
  let newSecond = ${f32(beta2)} * v[i] + ${f32(1 - beta2)} * g * g;
  let first = ${above(LEAST_NORMAL, F, "newFirst")};
  let second = ${above(LEAST_NORMAL, F, "newSecond")};
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

/** Returns the WGSL text of x, or 0 where its magnitude is below `least`. */
function above(least: number, F: string, x: string): string {
  return `select(${x}, ${F}(), abs(${x}) < ${F}(${f32(least)}))`;
}

/** m = momentum · m + g; the direction is m or, by Nesterov, g + momentum · m. Gradients are cleared. */
export const momentum: Builder<"momentum"> = (
  dims,
  target,
) => {
  const { n, stride, momentum, nesterov } = dims;
  const lanes = lanesOf(n, stride);
  const F = vectorOf(lanes);
  const mu = f32(momentum);
  return ofArrays(dims, target, ({ packed, strided }) =>
    invocations({
      target,
      parameters: [
        output("direction", F, packed),
        output("grads", F, strided),
        output("m", F, strided),
        input("clip"),
      ],
      count: packed.length / lanes,
      body: `
${placeOf(dims, lanes)}
if (clip[1] != 0.0f) {
  let g = clip[0] * grads[at];
  let next = ${mu} * m[at] + g;
  let mean = ${above(LEAST_MOMENTUM, F, "next")};
  m[at] = mean;
  direction[i] = ${nesterov ? `g + ${mu} * mean` : "mean"};
} else {
  direction[i] = ${F}();
}
grads[at] = ${F}();`,
    }));
};

/** y = x / (√Σ partial + eps). There are few parts, and every invocation adds them up. */
export const normalize: Builder<"normalize"> = (dims, target) => {
  const { count, n, parts, eps } = dims;
  const lanes = lanesOf(n);
  const F = vectorOf(lanes);
  return single(invocations({
    target,
    parameters: operandsOf("normalize", dims, { f32: F, partial: "f32" }),
    count: count * n / lanes,
    body: `
var square = 0.0f;
let first = i / ${n / lanes}u * ${parts}u;
for (var part = first; part < first + ${parts}u; part++) {
  square += partial[part];
}
y[i] = x[i] / (sqrt(square) + ${f32(eps)});`,
  }));
};

/** p -= lr · (weightDecay · p + scale · direction), the decay for the first `decayed` elements of an array. */
export const descend: Builder<"descend"> = (dims, target) => {
  const { count, n, stride, decayed, rate, scale, weightDecay } = dims;
  const lanes = lanesOf(n, stride, decayed);
  const F = vectorOf(lanes);
  const decay = (offset: number) =>
    decayed === 0 || weightDecay === 0
      ? ""
      : decayed === n
      ? `${f32(weightDecay)} * params[at] + `
      : `select(0.0f, ${f32(weightDecay)}, ${
        count === 1
          ? isBefore(decayed, offset, lanes)
          : `i % ${n / lanes}u < ${decayed / lanes}u`
      }) * params[at] + `;
  return ofArrays(dims, target, ({ packed, strided }) =>
    invocations({
      target,
      parameters: [
        output("params", F, strided),
        input("direction", F, packed),
        input("clip"),
        input("schedule"),
      ],
      count: packed.length / lanes,
      body: `
${placeOf(dims, lanes)}
if (clip[1] != 0.0f) {
  params[at] = params[at] - ${f32(rate)} * schedule[0] * (${
        decay(strided.offset)
      }${f32(scale)} * direction[i]);
}`,
    }));
};

/** Dims of kernels on several arrays, which are in a store `stride` apart and elsewhere one after another. */
type Arrays = Pick<KernelDims["momentum"], "count" | "n" | "stride">;

/**
 * Returns a dispatch on several arrays: one pass for as many of them as the adapter can bind at once. Only a single array is
 * itself cut into ranges.
 */
function ofArrays(
  { count, n, stride }: Arrays,
  target: Target,
  pass: (ranges: { readonly packed: Range; readonly strided: Range }) => Pass,
): Lowering {
  if (count === 1) {
    return inRanges(
      n,
      target,
      (range) => pass({ packed: range, strided: range }),
    );
  }
  // Arrays that follow one another begin where the adapter can bind only now and then.
  let every = 1;
  while (every * n % ALIGNMENT !== 0) every *= 2;
  const fitting = Math.floor((target.bindingSize / 4 - n) / stride) + 1;
  const most = Math.max(1, Math.floor(fitting / every)) * every;
  const passes = Array.from({ length: Math.ceil(count / most) }, (_, part) => {
    const first = part * most;
    const arrays = Math.min(most, count - first);
    return pass({
      packed: { offset: first * n, length: arrays * n },
      strided: { offset: first * stride, length: (arrays - 1) * stride + n },
    });
  });
  return { passes, scratch: {} };
}

/** Returns the declaration of `at`, the place in the store of element `i` of the arrays. */
function placeOf({ count, n, stride }: Arrays, lanes: 1 | 4): string {
  const array = `i / ${n / lanes}u * ${(stride - n) / lanes}u`;
  return `let at = ${count === 1 ? "i" : `i + ${array}`};`;
}

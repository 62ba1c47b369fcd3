/**
 * Attention over a key/value cache: the cache's own kernel, and queries against it.
 * Many queries go like those of `attention`; for one or two there is a kernel here,
 * in which a workgroup shares the keys of a single query among its invocations.
 */

import type { KernelDims } from "../vocabulary.ts";
import { byRows } from "./attention.ts";
import { forwardRows } from "./attention_rows.ts";
import { attended, layout, scoring, tidy } from "./attention_scores.ts";
import { reader, writer } from "./attention_tiles.ts";
import { forwardTiles } from "./attention_tiles_forward.ts";
import type { Builder, Pass, Target } from "./kernel.ts";
import {
  groups,
  input,
  invocations,
  lanesOf,
  output,
  single,
  vectorOf,
} from "./pass.ts";
import { f32 } from "./text.ts";

/** cache[b, start[b] + t] = the keys and values of qkv[b, t], for t < count[b]. */
export const cacheAppend: Builder<KernelDims["cacheAppend"]> = (
  { B, T, L, NH, NKV, HS },
  target,
) => {
  const lanes = lanesOf(HS);
  const element = vectorOf(lanes);
  const width = 2 * NKV * HS / lanes;
  return single(invocations({
    target,
    parameters: [
      output(0, "cache", element),
      input(1, "qkv", element),
      input(2, "start", "u32"),
      input(3, "count", "u32"),
    ],
    count: B * T * width,
    body: tidy(`
let c = i % ${width}u;
let t = i / ${width}u % ${T}u;
let b = i / ${width * T}u;
let position = start[b] + t;
if (t < count[b] && position < ${L}u) {
cache[(b * ${L}u + position) * ${width}u + c] =
qkv[(b * ${T}u + t) * ${NH * HS / lanes + width}u + ${NH * HS / lanes}u + c];
}`),
  }));
};

/** y = softmax(scores) · v over the positions of the cache in sight of each query. */
export const attentionCached: Builder<KernelDims["attentionCached"]> = (
  cacheDims,
  target,
) => {
  const dims = { ...cacheDims, dropout: 0, site: 0 };
  if (dims.T < 4) return single(forwardKeys(dims, target));
  return single(
    (byRows(dims, target) ? forwardRows : forwardTiles)(dims, target),
  );
};

/**
 * A workgroup for each query and head. It goes through the keys as many at a time as it has invocations,
 * each of which scores one key; then each takes one vec4f of the values, of every so many keys.
 */
function forwardKeys(
  dims: KernelDims["attentionCached"] & { dropout: number; site: number },
  target: Target,
): Pass {
  const { B, T, NH, HS, mask } = dims;
  const lanes = lanesOf(HS);
  const { opening, declarations, parameters } = attended(dims, lanes);
  const vectors = Math.ceil(HS / 4);
  const least = target.tiling === "register" ? 8 : 128;
  const size = Math.max(least, 2 ** Math.ceil(Math.log2(vectors)));
  const parts = Math.floor(size / vectors);
  return groups({
    target,
    parameters,
    count: B * NH * T,
    size,
    declarations: tidy(`
${layout(dims, lanes)}
${declarations}
var<workgroup> query: array<vec4f, ${vectors}>;
var<workgroup> scores: array<f32, ${size}>; // of the keys at hand
var<workgroup> weights: array<f32, ${size}>;
var<workgroup> sums: array<vec4f, ${size}>; // [${parts}][${vectors}]: of weighted values, over a part of the keys
${reader("qkv", HS)}
${reader("cache", HS)}
${writer("y", HS)}
${scoring(dims, 1)}`),
    body: tidy(`
let t = row % T;
let b = row / T / NH;
let h = row / T % NH;
let slope = slopeOf(h);
${opening}
let position = first + t;
let limit = select(0u, ${
      mask === "causal" ? "min(position + 1u, keyCount)" : "keyCount"
    }, t < count[b]);
let d = local % ${vectors}u;
let part = local / ${vectors}u;

if (local < ${vectors}u) {
query[local] = qkvAt((b * T + t) * QKV + h * D, local) * ${f32(dims.scale)};
}
workgroupBarrier();

var top = -1e30f; // the largest score so far
var total = 0.0f; // of this part: the sum of exponentials
var sum = vec4f(); // and of weighted values
for (var j0 = 0u; j0 < limit; j0 += ${size}u) {
let j = j0 + local;
var s = -1e30f;
if (j < limit) {
var product = 0.0f;
for (var d = 0u; d < ${vectors}u; d++) {
product += dot(query[d], cacheAt(keys + j * CACHE, d));
}
s = score(product, position, j, slope);
}
scores[local] = s;
workgroupBarrier();
let old = top;
for (var k = 0u; k < ${size}u; k++) { top = max(top, scores[k]); }
weights[local] = exp(s - top);
workgroupBarrier();
let shrink = exp(old - top);
total *= shrink;
sum *= shrink;
if (part < ${parts}u) {
for (var k = part; k < min(limit - j0, ${size}u); k += ${parts}u) {
let value = cacheAt(keys + (j0 + k) * CACHE + VALUES, d);
total += weights[k];
sum = fma(vec4f(weights[k]), value, sum);
}
}
}

sums[local] = sum;
scores[local] = total;
workgroupBarrier();
if (local < ${vectors}u) {
for (var p = 1u; p < ${parts}u; p++) {
total += scores[p * ${vectors}u + local];
sum += sums[p * ${vectors}u + local];
}
yPut((b * T + t) * WIDTH + h * D, local, select(vec4f(), sum / total, limit > 0u));
}`),
  });
}

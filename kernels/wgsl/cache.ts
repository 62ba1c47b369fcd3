/**
 * Attention over a key/value cache: the kernel that fills the cache, and queries over it.
 * Many queries use the passes of `attention`; for one or two there is a kernel here, in
 * which a workgroup divides the keys of a single query among its invocations.
 */

import { byRows } from "./attention.ts";
import { forwardRows } from "./attention_rows.ts";
import {
  attended,
  type ForwardDims,
  layout,
  scoring,
  tidy,
} from "./attention_scores.ts";
import { reader, writer } from "./attention_tiles.ts";
import { forwardTiles } from "./attention_tiles_forward.ts";
import type { Builder, Pass, Target } from "./kernel.ts";
import {
  groups,
  invocations,
  lanesOf,
  operandsOf,
  single,
  vectorOf,
} from "./pass.ts";
import { f32 } from "./text.ts";

/** cache[b, start[b] + t] = the keys and values of qkv[b, t], for t < count[b]. */
export const cacheAppend: Builder<"cacheAppend"> = (dims, target) => {
  const { B, T, NKV, HS } = dims;
  const lanes = lanesOf(HS);
  const element = vectorOf(lanes);
  return single(invocations({
    target,
    parameters: operandsOf("cacheAppend", dims, { f32: element, i32: "u32" }),
    count: B * T * 2 * NKV * HS / lanes,
    declarations: tidy(`
${layout(dims, lanes)}
${attended(dims, lanes).declarations}`),
    body: tidy(`
let c = i % CACHE;
let t = i / CACHE % T;
let b = i / CACHE / T;
let position = start[b] + t;
if (t < count[b] && position < L) {
cache[(b * L + position) * CACHE + c] = qkv[(b * T + t) * QKV + WIDTH + c];
}`),
  }));
};

/** y = softmax(scores) · v over the positions of the cache that each query attends to. */
export const attentionCached: Builder<"attentionCached"> = (
  cacheDims,
  target,
) => {
  const dims = { ...cacheDims, dropout: 0, site: 0 };
  if (byRows(dims, target)) return single(forwardRows(dims, target));
  return single((dims.T < 4 ? forwardKeys : forwardTiles)(dims, target));
};

/** Invocations, and keys taken at a time, of {@linkcode forwardKeys}; at least the vec4f of a head. */
const SIZE = 128;

/**
 * Returns the pass with a workgroup for each query and head. A workgroup loops over the keys, as many at a time
 * as it has invocations: each invocation scores one key, then sums one vec4f of the values of every n-th key.
 */
function forwardKeys(dims: ForwardDims, target: Target): Pass {
  const { B, T, NH, HS, mask } = dims;
  const scale = f32(dims.scale);
  const lanes = lanesOf(HS);
  const { opening, declarations, parameters } = attended(dims, lanes);
  const vectors = Math.ceil(HS / 4);
  const parts = Math.floor(SIZE / vectors);
  const sight = mask === "causal" ? "min(position + 1u, keyCount)" : "keyCount";
  return groups({
    target,
    parameters,
    count: B * NH * T,
    size: SIZE,
    declarations: tidy(`
${layout(dims, lanes)}
${declarations}
const VECTORS = ${vectors}u; // of a head
const PARTS = ${parts}u; // of the keys
var<workgroup> query: array<vec4f, ${vectors}>;
var<workgroup> scores: array<f32, ${SIZE}>; // of the keys at hand
var<workgroup> tops: array<f32, 16>; // the largest of them, in 16 groups
var<workgroup> weights: array<f32, ${SIZE}>;
var<workgroup> sums: array<vec4f, ${SIZE}>; // [PARTS][VECTORS], of weighted values
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
let limit = select(0u, ${sight}, t < count[b]);
if (local < VECTORS) {
query[local] = qkvAt((b * T + t) * QKV + h * D, local) * ${scale};
}
workgroupBarrier();

let part = local / VECTORS;
let at = local % VECTORS;
var top = -1e30f; // the largest score so far
var total = 0.0f; // of the part's weights
var sum = vec4f(); // of its weighted values
for (var j0 = 0u; j0 < limit; j0 += ${SIZE}u) {
let j = j0 + local;
var s = -1e30f;
if (j < limit) {
var product = 0.0f;
for (var d = 0u; d < VECTORS; d++) {
product += dot(query[d], cacheAt(keys + j * CACHE, d));
}
s = score(product, position, j, slope);
}
scores[local] = s;
workgroupBarrier();
if (local < 16u) {
var most = s;
for (var k = local; k < ${SIZE}u; k += 16u) { most = max(most, scores[k]); }
tops[local] = most;
}
workgroupBarrier();
let old = top;
for (var k = 0u; k < 16u; k++) { top = max(top, tops[k]); }
weights[local] = exp(s - top);
workgroupBarrier();
let shrink = exp(old - top);
total *= shrink;
sum *= shrink;
if (part < PARTS) {
for (var k = part; k < min(limit - j0, ${SIZE}u); k += PARTS) {
total += weights[k];
sum = fma(vec4f(weights[k]), cacheAt(keys + (j0 + k) * CACHE + VALUES, at), sum);
}
}
}

sums[local] = sum;
scores[local] = total;
workgroupBarrier();
if (local < VECTORS) {
for (var p = 1u; p < PARTS; p++) {
total += scores[p * VECTORS + local];
sum += sums[p * VECTORS + local];
}
yPut((b * T + t) * WIDTH + h * D, local, select(vec4f(), sum / total, limit > 0u));
}`),
  });
}

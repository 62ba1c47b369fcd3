/**
 * Attention for software adapters: an invocation holds a few neighbouring rows of one
 * head in registers and loops over the rows of the other side, which it reads straight
 * from storage. Nothing is shared within a workgroup.
 *
 * On such an adapter a load costs as much as a hundred multiplications, for each lane of
 * the vector unit separately. So an invocation holds several rows, all of which use each
 * row that is loaded; and the lanes are different heads at the same rows, so that their
 * loops are equally long. More rows than these take seconds to compile.
 *
 * Heads are whole vec4f. The forward pass is Milakov and Gimelshein, "Online normalizer
 * calculation for softmax" (arXiv 1805.02867), algorithm 3; the backward passes are Dao
 * et al., "FlashAttention" (arXiv 2205.14135), appendix B.2.
 */

import type { AttentionDropoutDims } from "../vocabulary.ts";
import {
  attended,
  backwardParameters,
  dropout,
  type ForwardDims,
  layout,
  scoring,
  scoringBackward,
  tidy,
} from "./attention_scores.ts";
import type { Pass, Target } from "./kernel.ts";
import { invocations } from "./pass.ts";
import { f32, MOST_ITERATIONS, repeat } from "./text.ts";

/** Invocations of a workgroup: as many as a software adapter runs at the same time. */
const SIZE = 8;

/** The most vec4f that all rows of an invocation may have together, forward and backward. */
const FORWARD_ROWS = 64;
const BACKWARD_ROWS = 48;

/** The division of a head's rows into blocks. */
interface Cut {
  /** Rows of an invocation. */
  readonly rows: number;
  readonly blocks: number;
  /** True if the last block has fewer rows than the others. */
  readonly ragged: boolean;
}

/**
 * Cuts T into blocks. A block has at most an eighth of the rows, since with a causal mask the loop over keys
 * goes as far for every row of a block as for the last one.
 */
function cutRows(
  { T, HS }: Pick<AttentionDropoutDims, "T" | "HS">,
  most: number,
): Cut {
  const rows = Math.min(8, Math.ceil(T / 8), Math.floor(most / (HS / 4)));
  return { rows, blocks: Math.ceil(T / rows), ragged: T % rows > 0 };
}

/** Returns the pass that computes y and, if the keys are not in a cache, lse. */
export function forwardRows(dims: ForwardDims, target: Target): Pass {
  const { B, NH, HS, mask } = dims;
  const cached = dims.L !== undefined;
  const causal = mask === "causal";
  const scale = f32(dims.scale);
  const { rows, blocks, ragged } = cutRows(dims, FORWARD_ROWS);
  const { array, stride, ...keys } = attended(dims, 4);
  const drop = dropout(dims, 1);
  const each = (line: (d: number) => string) => repeat(HS / 4, line);

  const open = (r: number) => `
let t${r} = t + ${r}u;
let row${r} = (b * T + ${
    ragged ? `min(t${r}, T - 1u)` : `t${r}`
  }) * QKV + h * D;
${each((d) => `let q${r}_${d} = qkv[row${r} + ${d}u] * ${scale};`)}
${each((d) => `var y${r}_${d} = vec4f();`)}
var top${r} = -1e30f; // the largest score so far
var sum${r} = 0.0f; // of exponentials`;

  const meet = (r: number) => `
${causal ? `if (j <= first + t${r}) {` : "{"}
${product("product", HS, [`q${r}_`, "k"])}
let s = score(product, first + t${r}, j, slope);
let top = max(top${r}, s);
let shrink = exp(top${r} - top);
let p = exp(s - top);
${drop.kept(`(bh * T + t${r}) * T + j`)}
let w = vec4f(${drop.times("p")});
${each((d) => `y${r}_${d} = fma(w, v${d}, y${r}_${d} * shrink);`)}
sum${r} = fma(sum${r}, shrink, p);
top${r} = top;
}`;

  const result = (r: number, d: number) =>
    cached
      ? `select(vec4f(), y${r}_${d} / sum${r}, live)`
      : `y${r}_${d} / sum${r}`;
  const close = (r: number) => `
${ragged ? `if (t${r} < T) {` : "{"}
let into = (b * T + t${r}) * WIDTH + h * D;
${cached ? `let live = t${r} < count[b];` : ""}
${each((d) => `y[into + ${d}u] = ${result(r, d)};`)}
${cached ? "" : `lse[bh * T + t${r}] = top${r} + log(sum${r});`}
}`;

  return invocations({
    target,
    parameters: [...keys.parameters, ...drop.parameters],
    count: B * NH * blocks,
    size: SIZE,
    declarations: tidy(`
${layout(dims, 4)}
${keys.declarations}
${scoring(dims, 1)}
${drop.declarations}`),
    body: tidy(`
let bh = i % ${B * NH}u;
let b = bh / NH;
let h = bh % NH;
let t = ${rows}u * (${blocks - 1}u - i / ${B * NH}u); // the longest walks first
let slope = slopeOf(h);
${keys.opening}

${repeat(rows, open)}

let end = ${causal ? `min(first + t + ${rows}u, keyCount)` : "keyCount"};
for (var j = 0u; j < end; j++) {
let key = keys + j * ${stride};
${each((d) => `let k${d} = ${array}[key + ${d}u];`)}
${each((d) => `let v${d} = ${array}[key + VALUES + ${d}u];`)}
${repeat(rows, meet)}
}

${repeat(rows, close)}`),
  });
}

/** Returns the pass that computes delta and the query part of dqkv. */
export function backwardQueryRows(
  dims: AttentionDropoutDims,
  target: Target,
): Pass {
  const { B, NH, HS, mask } = dims;
  const causal = mask === "causal";
  const scale = f32(dims.scale);
  const { rows, blocks, ragged } = cutRows(dims, BACKWARD_ROWS);
  const drop = dropout(dims, 1);
  const each = (line: (d: number) => string) => repeat(HS / 4, line);

  const open = (r: number) => `
let t${r} = ${ragged ? `min(t + ${r}u, T - 1u)` : `t + ${r}u`};
let row${r} = (b * T + t${r}) * QKV + h * D;
let out${r} = (b * T + t${r}) * WIDTH + h * D;
${each((d) => `let q${r}_${d} = qkv[row${r} + ${d}u] * ${scale};`)}
${each((d) => `let dy${r}_${d} = dy[out${r} + ${d}u];`)}
${each((d) => `var dq${r}_${d} = vec4f();`)}
let lse${r} = lse[bh * T + t${r}];
var delta${r} = 0.0f;
${each((d) => `delta${r} += dot(dy${r}_${d}, y[out${r} + ${d}u]);`)}`;

  const meet = (r: number) => `
${causal ? `if (j <= t${r}) {` : "{"}
${product("product", HS, [`q${r}_`, "k"])}
let p = exp(score(product, t${r}, j, slope) - lse${r});
${product("dw", HS, [`dy${r}_`, "v"])}
${drop.kept(`(bh * T + t${r}) * T + j`)}
let ds = vec4f(scoreGradient(p, ${drop.times("dw")}, delta${r}, t${r}, j));
${each((d) => `dq${r}_${d} = fma(ds, k${d}, dq${r}_${d});`)}
}`;

  const close = (r: number) => `
${ragged ? `if (t + ${r}u < T) {` : "{"}
delta[bh * T + t${r}] = delta${r};
${each((d) => `dqkv[row${r} + ${d}u] = dq${r}_${d} * ${scale};`)}
}`;

  return invocations({
    target,
    parameters: [...backwardParameters("queries", 4), ...drop.parameters],
    count: B * NH * blocks,
    size: SIZE,
    declarations: backwardDeclarations(dims, drop.declarations),
    body: tidy(`
let bh = i % ${B * NH}u;
let b = bh / NH;
let h = bh % NH;
let t = ${rows}u * (${blocks - 1}u - i / ${B * NH}u); // the longest walks first
let slope = slopeOf(h);
let keys = b * T * QKV + WIDTH + (h / GROUP) * D;

${repeat(rows, open)}

let end = ${causal ? `min(t + ${rows}u, T)` : "T"};
for (var j = 0u; j < end; j++) {
let key = keys + j * QKV;
${each((d) => `let k${d} = qkv[key + ${d}u];`)}
${each((d) => `let v${d} = qkv[key + VALUES + ${d}u];`)}
${repeat(rows, meet)}
}

${repeat(rows, close)}`),
  });
}

/**
 * Returns the passes that compute the key and value parts of dqkv, from delta: each for as many of a key's query heads as
 * one loop can take. All but the first add.
 */
export function backwardKeyValueRows(
  dims: AttentionDropoutDims,
  target: Target,
): Pass[] {
  const group = dims.NH / dims.NKV;
  const most = Math.max(1, Math.floor(MOST_ITERATIONS / dims.T));
  return Array.from(
    { length: Math.ceil(group / most) },
    (_, i) =>
      backwardKeyValueHeads(dims, target, {
        from: i * most,
        to: Math.min((i + 1) * most, group),
      }),
  );
}

/** Returns the pass that computes, or adds, what query heads `from` to `to` of each key head give to its part of dqkv. */
function backwardKeyValueHeads(
  dims: AttentionDropoutDims,
  target: Target,
  { from, to }: { readonly from: number; readonly to: number },
): Pass {
  const { B, NKV, HS, mask } = dims;
  const causal = mask === "causal";
  const store = from === 0 ? "=" : "+=";
  const scale = f32(dims.scale);
  const { rows, blocks, ragged } = cutRows(dims, BACKWARD_ROWS);
  const drop = dropout(dims, 1);
  const each = (line: (d: number) => string) => repeat(HS / 4, line);

  const open = (r: number) => `
let j${r} = j + ${r}u;
let row${r} = keys + ${ragged ? `min(j${r}, T - 1u)` : `j${r}`} * QKV;
${each((d) => `let k${r}_${d} = qkv[row${r} + ${d}u] * ${scale};`)}
${each((d) => `let v${r}_${d} = qkv[row${r} + VALUES + ${d}u];`)}
${each((d) => `var dk${r}_${d} = vec4f();`)}
${each((d) => `var dv${r}_${d} = vec4f();`)}`;

  const meet = (r: number) => `
${causal ? `if (t >= j${r}) {` : "{"}
${product("product", HS, [`k${r}_`, "q"])}
let p = exp(score(product, t, j${r}, slope) - rowLse);
${product("dw", HS, [`v${r}_`, "dy"])}
${drop.kept(`(bh * T + t) * T + j${r}`)}
let w = vec4f(${drop.times("p")});
let ds = vec4f(scoreGradient(p, ${drop.times("dw")}, rowDelta, t, j${r}));
${each((d) => `dk${r}_${d} = fma(ds, q${d}, dk${r}_${d});`)}
${each((d) => `dv${r}_${d} = fma(w, dy${d}, dv${r}_${d});`)}
}`;

  const close = (r: number) => `
${ragged ? `if (j${r} < T) {` : "{"}
${each((d) => `dqkv[row${r} + ${d}u] ${store} dk${r}_${d} * ${scale};`)}
${each((d) => `dqkv[row${r} + VALUES + ${d}u] ${store} dv${r}_${d};`)}
}`;

  return invocations({
    target,
    parameters: [...backwardParameters("keys", 4), ...drop.parameters],
    count: B * NKV * blocks,
    size: SIZE,
    declarations: backwardDeclarations(dims, drop.declarations),
    body: tidy(`
let b = i % ${B * NKV}u / NKV;
let kv = i % NKV;
let j = ${rows}u * (i / ${B * NKV}u);
let keys = b * T * QKV + WIDTH + kv * D;

${repeat(rows, open)}

for (var h = kv * GROUP + ${from}u; h < kv * GROUP + ${to}u; h++) {
let bh = b * NH + h;
let slope = slopeOf(h);
for (var t = ${causal ? "j" : "0u"}; t < T; t++) {
let row = (b * T + t) * QKV + h * D;
let out = (b * T + t) * WIDTH + h * D;
${each((d) => `let q${d} = qkv[row + ${d}u];`)}
${each((d) => `let dy${d} = dy[out + ${d}u];`)}
let rowLse = lse[bh * T + t];
let rowDelta = delta[bh * T + t];
${repeat(rows, meet)}
}
}

${repeat(rows, close)}`),
  });
}

/** Returns the declarations of a backward pass, all of its text before the entry point. */
function backwardDeclarations(
  dims: AttentionDropoutDims,
  dropout: string,
): string {
  return tidy(`
${layout(dims, 4)}
${scoring(dims, 1)}
${scoringBackward(dims, 1)}
${dropout}`);
}

/** Returns `let NAME = a · b;`, the dot product of two heads in registers. */
function product(
  name: string,
  HS: number,
  [a, b]: readonly [a: string, b: string],
): string {
  const add = (d: number) =>
    `${name}4 = fma(${a}${d + 1}, ${b}${d + 1}, ${name}4);`;
  return `
var ${name}4 = ${a}0 * ${b}0;
${repeat(HS / 4 - 1, add)}
let ${name} = dot(${name}4, vec4f(1.0f));`;
}

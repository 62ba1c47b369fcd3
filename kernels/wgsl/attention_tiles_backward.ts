/**
 * The backward passes of attention on hardware: Dao et al., "FlashAttention" (arXiv
 * 2205.14135), appendix B.2, in two passes, each of which sums only for its own rows.
 */

import type { AttentionDropoutDims } from "../vocabulary.ts";
import {
  backwardParameters,
  dropout,
  layout,
  scoring,
  scoringBackward,
  tidy,
} from "./attention_scores.ts";
import {
  accumulate,
  type Content,
  cutHead,
  eachRow,
  place,
  products,
  putResults,
  reader,
  results,
  rowAt,
  SIZE,
  TILES,
  writer,
} from "./attention_tiles.ts";
import type { Pass, Target } from "./kernel.ts";
import { groups, lanesOf } from "./pass.ts";
import { f32 } from "./text.ts";

/** Contents of the tiles: heads of sequence b, of query head h or of the key/value head at `keys`. */
const queries = "qkvAt((b * T + at) * QKV + h * D, d)";
const keys = "qkvAt(keys + at * QKV, d)";
const values = "qkvAt(keys + at * QKV + VALUES, d)";
const gradients = "dyAt((b * T + at) * WIDTH + h * D, d)";

/** Returns the content of a tile: `value` for the positions from `from` on. */
function heads(from: string, value: string): Content {
  return { from, end: "T", value };
}

/** Returns the pass that computes delta and the query part of dqkv. */
export function backwardQueryTiles(
  dims: AttentionDropoutDims,
  target: Target,
): Pass {
  const { B, T, NH, HS, mask } = dims;
  const causal = mask === "causal";
  const scale = f32(dims.scale);
  const lanes = lanesOf(HS);
  const cut = cutHead(HS);
  const blocks = Math.ceil(T / 32);
  const drop = dropout(dims, 4);

  const open = (r: number) => `
let t${r} = t + 4u * ty + ${r}u;
let lse${r} = lse[bh * T + min(t${r}, T - 1u)];
let delta${r} = deltas[4u * ty + ${r}u];`;

  const scores = products(cut, "s", {
    rows: heads("t", `${queries} * ${scale}`),
    columns: heads("j", keys),
  });
  const weightGradients = products(cut, "dw", {
    rows: heads("t", gradients),
    columns: heads("j", values),
  });

  const weigh = (r: number) => `
{
let i = vec4u(t${r});
let seen = column < ${causal ? "min(i + 1u, vec4u(T))" : "vec4u(T)"};
let p = select(vec4f(), exp(score(s${r}, i, column, slope) - lse${r}), seen);
${drop.kept("(bh * T + i) * T + column")}
let dp = ${drop.times(`dw${r}`)};
weights[${rowAt(r)} + tx] = scoreGradient(p, dp, vec4f(delta${r}), i, column);
}`;

  const weighted = accumulate(cut, "dq", { columns: heads("j", keys) });

  const close = (r: number) => `
if (t${r} < T) {
${
    putResults(cut, {
      array: "dqkv",
      head: `(b * T + t${r}) * QKV + h * D`,
      value: (s) => `dq${r}_${s} * ${scale}`,
    })
  }
}`;

  return groups({
    target,
    parameters: [...backwardParameters("queries", lanes), ...drop.parameters],
    count: B * NH * blocks * cut.shares,
    size: SIZE,
    declarations: `${declarations(dims, drop.declarations)}
var<workgroup> deltas: array<f32, 32>; // of the block's rows`,
    body: tidy(`
${place(blocks, cut)}
let bh = head;
let b = bh / NH;
let h = bh % NH;
let t = 32u * (${blocks - 1}u - block); // the longest walks first
let slope = slopeOf(h);
let keys = b * T * QKV + WIDTH + (h / GROUP) * D;

if (local < 32u) {
let at = t + local;
let begin = (b * T + min(at, T - 1u)) * WIDTH + h * D;
var sum = 0.0f;
for (var d = 0u; d < D; d++) {
sum += ${
      lanes === 4
        ? "dot(dy[begin + d], y[begin + d])"
        : "dy[begin + d] * y[begin + d]"
    };
}
deltas[local] = sum;
if (at < T && share == 0u) { delta[bh * T + at] = sum; }
}
workgroupBarrier();

${eachRow(open)}
${results(cut, "dq")}

for (var j = 0u; j < ${causal ? "min(t + 32u, T)" : "T"}; j += 32u) {
${scores}
${weightGradients}
let column = j + 4u * tx + vec4u(0u, 1u, 2u, 3u);
${eachRow(weigh)}
workgroupBarrier();
${weighted}
}

${eachRow(close)}`),
  });
}

/** Returns the pass that computes the key and value parts of dqkv, from delta. */
export function backwardKeyValueTiles(
  dims: AttentionDropoutDims,
  target: Target,
): Pass {
  const { B, T, NKV, HS, mask } = dims;
  const causal = mask === "causal";
  const scale = f32(dims.scale);
  const lanes = lanesOf(HS);
  const cut = cutHead(HS);
  const blocks = Math.ceil(T / 32);
  const drop = dropout(dims, 4);

  const scores = products(cut, "s", {
    rows: heads("j", `${keys} * ${scale}`),
    columns: heads("t", queries),
  });
  const weightGradients = products(cut, "dw", {
    rows: heads("j", values),
    columns: heads("t", gradients),
  });

  // From here on s is the weight, dw the derivative by the score.
  const weigh = (r: number) => `
{
let j = vec4u(j${r});
let seen = (column < vec4u(T))${causal ? " & (column >= j)" : ""};
let p = select(vec4f(), exp(score(s${r}, column, j, slope) - lse4), seen);
${drop.kept("(bh * T + column) * T + j")}
s${r} = ${drop.times("p")};
dw${r} = scoreGradient(p, ${drop.times(`dw${r}`)}, delta4, column, j);
}`;
  const share = (name: string) =>
    eachRow((r) => `weights[${rowAt(r)} + tx] = ${name}${r};`);

  const valueSums = accumulate(cut, "dv", { columns: heads("t", gradients) });
  const keySums = accumulate(cut, "dk", { columns: heads("t", queries) });

  const close = (r: number) => `
if (j${r} < T) {
let into = keys + j${r} * QKV;
${
    putResults(cut, {
      array: "dqkv",
      head: "into",
      value: (s) => `dk${r}_${s} * ${scale}`,
    })
  }
${
    putResults(cut, {
      array: "dqkv",
      head: "into + VALUES",
      value: (s) => `dv${r}_${s}`,
    })
  }
}`;

  return groups({
    target,
    parameters: [...backwardParameters("keys", lanes), ...drop.parameters],
    count: B * NKV * blocks * cut.shares,
    size: SIZE,
    declarations: declarations(dims, drop.declarations),
    body: tidy(`
${place(blocks, cut)}
let b = head / NKV;
let j = 32u * block;
let keys = b * T * QKV + WIDTH + (head % NKV) * D;

${eachRow((r) => `let j${r} = j + 4u * ty + ${r}u;`)}
${results(cut, "dk")}
${results(cut, "dv")}

for (var g = 0u; g < GROUP; g++) {
let h = (head % NKV) * GROUP + g;
let bh = b * NH + h;
let slope = slopeOf(h);
for (var t = ${causal ? "j" : "0u"}; t < T; t += 32u) {
${scores}
${weightGradients}
let column = t + 4u * tx + vec4u(0u, 1u, 2u, 3u);
let at4 = bh * T + min(column, vec4u(T - 1u));
let lse4 = vec4f(lse[at4.x], lse[at4.y], lse[at4.z], lse[at4.w]);
let delta4 = vec4f(delta[at4.x], delta[at4.y], delta[at4.z], delta[at4.w]);
${eachRow(weigh)}
${share("s")}
workgroupBarrier();
${valueSums}
workgroupBarrier();
${share("dw")}
${keySums}
}
}

${eachRow(close)}`),
  });
}

/** Returns the declarations of a pass, all of its text before the entry point. */
function declarations(dims: AttentionDropoutDims, dropout: string): string {
  const { HS } = dims;
  return tidy(`
${layout(dims, lanesOf(HS))}
${TILES}
${reader("qkv", HS)}
${reader("dy", HS)}
${writer("dqkv", HS)}
${scoring(dims, 4)}
${scoringBackward(dims, 4)}
${dropout}`);
}

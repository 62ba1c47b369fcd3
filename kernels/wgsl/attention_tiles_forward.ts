/**
 * The forward pass of attention on hardware, over the keys of the same rows or those of
 * a cache: Dao et al., "FlashAttention" (arXiv 2205.14135), algorithm 1, with one
 * division at the end as in FlashAttention-2 (arXiv 2307.08691), section 3.1.
 */

import {
  attended,
  dropout,
  type ForwardDims,
  layout,
  scoring,
  tidy,
} from "./attention_scores.ts";
import {
  accumulate,
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
import { f32, repeat } from "./text.ts";

/** Returns the pass that computes y and, if the keys are not in a cache, lse. */
export function forwardTiles(dims: ForwardDims, target: Target): Pass {
  const { B, T, NH, HS, scale, mask } = dims;
  const cached = dims.L !== undefined;
  const causal = mask === "causal";
  const lanes = lanesOf(HS);
  const cut = cutHead(HS);
  const blocks = Math.ceil(T / 32);
  const { array, stride, ...keys } = attended(dims, lanes);
  const drop = dropout(dims, 4);

  // A row attends to the keys before its limit.
  const open = (r: number) => `
let t${r} = t + 4u * ty + ${r}u;
let limit${r} = ${causal ? `min(first + t${r} + 1u, keyCount)` : "keyCount"};
var top${r} = -1e30f; // the largest score so far
var sum${r} = 0.0f; // of exponentials, of this invocation's columns`;

  const scores = products(cut, "s", {
    rows: {
      from: "t",
      end: "T",
      value: `qkvAt((b * T + at) * QKV + h * D, d) * ${f32(scale)}`,
    },
    columns: {
      from: "j",
      end: "keyCount",
      value: `${array}At(keys + at * ${stride}, d)`,
    },
  });

  const mark = (r: number) => `
let seen${r} = min(max(limit${r}, j) - j, 32u);
s${r} = score(s${r}, vec4u(first + t${r}), column, slope);
s${r} = select(vec4f(-1e30f), s${r}, column < vec4u(limit${r}));
parts[${rowAt(r)} + tx] = max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w));`;

  const weigh = (r: number) => `
{
let old = top${r};
for (var x = 0u; x < 8u; x++) { top${r} = max(top${r}, parts[${
    rowAt(r)
  } + x]); }
let shrink = exp(old - top${r});
let p = select(vec4f(), exp(s${r} - top${r}), column < vec4u(limit${r}));
sum${r} = fma(sum${r}, shrink, dot(p, vec4f(1.0f)));
${repeat(cut.taken, (s) => `y${r}_${s} *= shrink;`)}
${drop.kept(`(bh * T + t${r}) * T + column`)}
weights[${rowAt(r)} + tx] = ${drop.times("p")};
}`;

  const weighted = accumulate(cut, "y", {
    columns: {
      from: "j",
      end: "keyCount",
      value: `${array}At(keys + at * ${stride} + VALUES, d)`,
    },
    bounded: true,
  });

  const close = (r: number) => `
if (t${r} < T) {
var sum = 0.0f;
for (var x = 0u; x < 8u; x++) { sum += parts[${rowAt(r)} + x]; }
${cached ? `let live = t${r} < count[b];` : ""}
${
    putResults(cut, {
      array: "y",
      head: `(b * T + t${r}) * WIDTH + h * D`,
      value: (s) =>
        cached ? `select(vec4f(), y${r}_${s} / sum, live)` : `y${r}_${s} / sum`,
    })
  }
${
    cached
      ? ""
      : `if (share == 0u && tx == 0u) { lse[bh * T + t${r}] = top${r} + log(sum); }`
  }
}`;

  return groups({
    target,
    parameters: [...keys.parameters, ...drop.parameters],
    count: B * NH * blocks * cut.shares,
    size: SIZE,
    declarations: tidy(`
${layout(dims, lanes)}
${keys.declarations}
${TILES}
var<workgroup> parts: array<f32, 256>; // [32][8], what each invocation found of its rows
${reader("qkv", HS)}
${cached ? reader("cache", HS) : ""}
${writer("y", HS)}
${scoring(dims, 4)}
${drop.declarations}`),
    body: tidy(`
${place(blocks, cut)}
let bh = head;
let b = bh / NH;
let h = bh % NH;
let t = 32u * (${blocks - 1}u - block); // the longest walks first
let slope = slopeOf(h);
${keys.opening}

${eachRow(open)}
${results(cut, "y")}

let end = ${causal ? "min(first + t + 32u, keyCount)" : "keyCount"};
for (var j = 0u; j < end; j += 32u) {
${scores}
let column = j + 4u * tx + vec4u(0u, 1u, 2u, 3u);
${eachRow(mark)}
workgroupBarrier();
${eachRow(weigh)}
${weighted}
}

${eachRow((r) => `parts[${rowAt(r)} + tx] = sum${r};`)}
workgroupBarrier();
${eachRow(close)}`),
  });
}

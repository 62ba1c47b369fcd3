/**
 * The part that all attention kernels share: the layout of their operands, the score of a
 * query and a key with its derivative, and the mask of dropout. The division of the work is
 * in `attention_rows.ts` (software adapters) and `attention_tiles.ts` (hardware).
 */

import type { AttentionDims, AttentionDropoutDims } from "../vocabulary.ts";
import { input, output, type Parameter, vectorOf } from "./pass.ts";
import { dropped } from "./random.ts";
import { f32 } from "./text.ts";

/** Dims of a forward pass: those of `attention` or, with L, of `attentionCached`, which has no dropout. */
export type ForwardDims = AttentionDropoutDims & { readonly L?: number };

/** The dims that determine the layout of a head's numbers. */
export type HeadDims = Pick<AttentionDims, "T" | "NH" | "NKV" | "HS">;

/**
 * Returns the dims as WGSL constants. Lengths of heads and rows are in elements of `lanes` numbers:
 * a head has D elements, a row of qkv has QKV, a row of y has WIDTH. The keys of a row of qkv start at
 * WIDTH; values start VALUES elements after their keys, both in qkv and in the cache.
 */
export function layout({ T, NH, NKV, HS }: HeadDims, lanes: 1 | 4): string {
  const D = HS / lanes;
  return `
const T = ${T}u;
const NH = ${NH}u;
const NKV = ${NKV}u;
const GROUP = ${NH / NKV}u; // query heads that read one key/value head
const D = ${D}u;
const QKV = ${(NH + 2 * NKV) * D}u;
const WIDTH = ${NH * D}u;
const VALUES = ${NKV * D}u;
`;
}

/** The operands of a forward pass, and the location of its keys. */
export interface Attended {
  /** Outputs and inputs; dropout's `key` comes after them. */
  readonly parameters: readonly Parameter[];
  /** Constants of the cache; empty without a cache. */
  readonly declarations: string;
  /**
   * Sets, for sequence b and query head h, `first`, the position of query 0; `keyCount`, the number of
   * positions that have a key; and `keys`, the index in `array` of the key of position 0.
   */
  readonly opening: string;
  /** The array that holds the keys and values. */
  readonly array: "qkv" | "cache";
  /** The distance from the key of one position to the key of the next. */
  readonly stride: "QKV" | "CACHE";
}

/** Returns the operands and keys of a forward pass: keys from the rows of qkv or, with L, from the cache. */
export function attended(
  { L, NKV, HS }: Pick<ForwardDims, "L" | "NKV" | "HS">,
  lanes: 1 | 4,
): Attended {
  const element = vectorOf(lanes);
  if (L === undefined) {
    return {
      parameters: [
        output("y", element),
        output("lse"),
        input("qkv", element),
      ],
      declarations: "",
      opening: `
let first = 0u;
let keyCount = T;
let keys = b * T * QKV + WIDTH + (h / GROUP) * D;`,
      array: "qkv",
      stride: "QKV",
    };
  }
  return {
    parameters: [
      output("y", element),
      input("qkv", element),
      input("cache", element),
      input("start", "u32"),
      input("count", "u32"),
    ],
    declarations: `
const L = ${L}u;
const CACHE = ${2 * NKV * HS / lanes}u; // a position of the cache
`,
    opening: `
let first = start[b];
let keyCount = min(first + count[b], L);
let keys = b * L * CACHE + (h / GROUP) * D;`,
    array: "cache",
    stride: "CACHE",
  };
}

/**
 * Returns the operands of the pass that writes the gradients of the queries, and of the one after it for keys and values;
 * dropout's `key` comes after them. The first sums delta = dy · y over each head, and both use it.
 */
export function backwardParameters(
  part: "queries" | "keys",
  lanes: 1 | 4,
): readonly Parameter[] {
  const element = vectorOf(lanes);
  return [
    output("dqkv", element),
    input("dy", element),
    input("lse"),
    input("qkv", element),
    ...part === "queries"
      ? [output("delta"), input("y", element)]
      : [input("delta")],
  ];
}

/**
 * Returns two WGSL functions: `fn score(product, i, j, slope)`, the score of query i and key j from `product`,
 * their scaled dot product, for one pair or four; and `fn slopeOf(h)`, the ALiBi slope of head h, 0 without ALiBi.
 */
export function scoring(
  { mask, maskValue, slopes }: Pick<
    AttentionDims,
    "mask" | "maskValue" | "slopes"
  >,
  pairs: 1 | 4,
): string {
  const [F, U] = pairs === 4 ? ["vec4f", "vec4u"] : ["f32", "u32"];
  const biased = slopes.length > 0
    ? `product - slope * (${F}(i) - ${F}(j))`
    : "product";
  const future = { causal: null, none: null, zeroed: 0, finite: maskValue };
  const value = future[mask];
  const list = slopes.map(f32).join(", ");
  return `
fn slopeOf(h: u32) -> f32 {
${
    slopes.length > 0
      ? `var slopes = array<f32, NH>(${list});\nreturn slopes[h];`
      : "return 0.0f;"
  }
}

fn score(product: ${F}, i: ${U}, j: ${U}, slope: f32) -> ${F} {
return ${
    value === null ? biased : `select(${biased}, ${F}(${f32(value)}), j > i)`
  };
}
`;
}

/**
 * Returns the WGSL function `fn scoreGradient(p, dp, delta, i, j)`: the derivative with respect to the score, from
 * the probability p and the derivative dp with respect to p (Dao et al., "FlashAttention", arXiv 2205.14135, appendix B.2; delta is its D).
 */
export function scoringBackward(
  { mask }: Pick<AttentionDims, "mask">,
  pairs: 1 | 4,
): string {
  const [F, U] = pairs === 4 ? ["vec4f", "vec4u"] : ["f32", "u32"];
  const gradient = "p * (dp - delta)";
  const constant = mask === "zeroed" || mask === "finite"; // in the future
  return `
fn scoreGradient(p: ${F}, dp: ${F}, delta: ${F}, i: ${U}, j: ${U}) -> ${F} {
return ${constant ? `select(${gradient}, ${F}(), j > i)` : gradient};
}
`;
}

/** The WGSL text of dropout on the probabilities, in parts; all are empty without dropout. */
export interface Dropout {
  /** The operand `key`. */
  readonly parameters: readonly Parameter[];
  /** The generator. */
  readonly declarations: string;
  /** Returns the statement that sets `kept`, 0 or 1 / (1 - rate), for the pair or pairs at `index`. */
  kept(index: string): string;
  /** Returns `x` times `kept`. */
  times(x: string): string;
}

/** Returns the dropout of one pair, or of four pairs at an index of type vec4u. */
export function dropout(
  { dropout: rate, site }: Pick<AttentionDropoutDims, "dropout" | "site">,
  pairs: 1 | 4,
): Dropout {
  if (rate === 0) {
    return {
      parameters: [],
      declarations: "",
      kept: () => "",
      times: (x) => x,
    };
  }
  const four = `
fn dropped4(index: vec4u) -> vec4f {
return vec4f(dropped(index.x), dropped(index.y), dropped(index.z), dropped(index.w));
}
`;
  return {
    parameters: [input("key", "u32")],
    declarations: dropped({ rate, site }) + (pairs === 4 ? four : ""),
    kept: (index) =>
      `let kept = ${pairs === 4 ? "dropped4" : "dropped"}(${index});`,
    times: (x) => `${x} * kept`,
  };
}

/**
 * Formats a text put together from pieces: indents it by its braces, and keeps no more
 * than one empty line at a time and none within braces.
 */
export function tidy(text: string): string {
  let depth = 0;
  const lines: string[] = [];
  for (const line of text.split("\n").map((line) => line.trim())) {
    if (line === "" && (depth > 0 || lines.at(-1) === "")) continue;
    const closing = line.startsWith("}") ? 1 : 0;
    lines.push(line === "" ? "" : "  ".repeat(depth - closing) + line);
    depth += line.split("{").length - line.split("}").length;
  }
  return lines.join("\n").trim();
}

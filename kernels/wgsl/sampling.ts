/** Kernels of text: the tokens that are encoded next, and the choice of a token. */

import type { Builder } from "./kernel.ts";
import { alone, invocations, operandsOf, single } from "./pass.ts";
import { THREEFRY } from "./random.ts";
import { EACH, rowShare } from "./rows.ts";
import { repeat } from "./text.ts";

/** tokens[b, t] = text[b, (length - count[b] + t) mod S], t < count[b]. */
export const lastTokens: Builder<"lastTokens"> = (dims, target) => {
  const { B, T, S } = dims;
  return single(invocations({
    target,
    parameters: operandsOf("lastTokens", dims, {}),
    count: B * T,
    body: `
let b = i / ${T}u;
let t = i32(i % ${T}u);
let at = u32(state[4u * b + 3u] - count[b] + t) % ${S}u;
tokens[i] = select(0, max(0, text[b * ${S}u + at]), t < count[b]);`,
  }));
};

/**
 * The longest row for which one invocation chooses: with some hundred loops over it, the software adapter llvmpipe would end
 * the loops of a longer one too early.
 */
const LONGEST_ALONE = 512;

/** The longest row of which an invocation of a workgroup sums one token in an iteration, for the same reason. */
const LONGEST_SINGLY = 2 ** 17;

/** Rows of a workgroup where one invocation chooses: as many as a software adapter computes at the same time. */
const ROWS_TOGETHER = 8;

/**
 * A token of each row. Nothing is sorted: a cut of the ranking, (score, id), and the token itself are found by bisection, bit by
 * bit, of the smallest one at which a sum over the row reaches a number. Rounded sums of numbers that are not negative never
 * fall when a number is added, so the bisection finds the same place as a sum along the row.
 *
 * In the text, a `Row` is the part of a row that an invocation sums, with the row's distribution. `keyOf` is an integer in the
 * order of the scores, of which -0 equals 0. A cut is the key and the id of the last token within it. `sumOf` is the number of
 * tokens of ids below `limit` that are within both cuts, or the sum of their weights from `least` on; `cutAt` the smallest cut
 * within which it is at least `enough`. A reduction is also a barrier: after it one may write what others have read.
 */
export const choose: Builder<"choose"> = (dims, target) => {
  const { B, T, V, S } = dims;
  const isAlone = target.tiling === "register" && V <= LONGEST_ALONE;
  // Mostly half of the bits suffice. A workgroup must not leave a loop with barriers by what it computed.
  const early = isAlone
    ? "if (counts && sum == enough) { return higher; }"
    : "";
  const turn = Math.ceil(V / LONGEST_SINGLY);
  const highestBit = V === 1 ? 0 : 2 ** Math.floor(Math.log2(V - 1));
  const share = rowShare({
    target: isAlone ? target : { ...target, tiling: "workgroup" },
    parameters: operandsOf("choose", dims, { state: "u32" }),
    count: B,
    width: V,
    lanes: 1,
    reductions: ["total", "largest"],
    declarations: `
${THREEFRY}
struct Row {
  start: u32,
  first: u32,
  end: u32,
  stride: u32,
  local: u32,
  top: f32,
  temperature: f32,
  penalty: f32,
}

fn scoreOf(k: u32, penalty: f32) -> f32 {
  let x = logits[k];
  if (penalty == 1.0f || seen[k] == 0) { return x; }
  return select(x * penalty, x / penalty, x > 0.0f);
}

fn keyOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  if (bits == 0x80000000u) { return bits; }
  return select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
}

fn within(cut: vec2u, key: u32, id: u32) -> bool {
  return key > cut.x || (key == cut.x && id <= cut.y);
}

fn shareOf(row: Row, k: u32, outer: vec2u, inner: vec2u, least: f32, counts: bool) -> f32 {
  let score = scoreOf(k, row.penalty);
  let key = keyOf(score);
  let id = k - row.start;
  if (!within(outer, key, id) || !within(inner, key, id)) { return 0.0f; }
  if (counts) { return 1.0f; }
  let weight = exp(max((score - row.top) / row.temperature, -104.0f));
  return select(0.0f, weight, weight >= least);
}

fn sumOf(row: Row, outer: vec2u, inner: vec2u, limit: u32, least: f32, counts: bool) -> f32 {
  var sum = 0.0f;
  let end = min(row.end, row.start + limit);
  for (var k = row.first; k < end; k += ${turn}u * row.stride) {
${
      repeat(turn, (j) =>
        `    if (k + ${j}u * row.stride < end) { sum += shareOf(row, k + ${j}u * row.stride, outer, inner, least, counts); }`)
    }
  }
  return total(sum, row.local);
}

fn cutAt(row: Row, outer: vec2u, enough: f32, counts: bool) -> vec2u {
  var key = 0u;
  for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
    let higher = vec2u(key | bit, ${V - 1}u);
    let sum = sumOf(row, outer, higher, ${V}u, 0.0f, counts);
    ${early}
    if (sum >= enough) { key = higher.x; }
  }
  var last = 0u;
  for (var bit = ${highestBit}u; bit > 0u; bit >>= 1u) {
    let before = vec2u(key, (last | bit) - 1u);
    if (sumOf(row, outer, before, ${V}u, 0.0f, counts) < enough) { last |= bit; }
  }
  return vec2u(key, last);
}`,
    body: `
let temperature = settings[5u * row];
let topK = settings[5u * row + 1u];
let topP = settings[5u * row + 2u];
let minP = settings[5u * row + 3u];
let penalty = settings[5u * row + 4u];
var most = -3.4e38f;
var faults = 0.0f;
${EACH} {
  let score = scoreOf(k, penalty);
  most = max(most, score);
  if ((bitcast<u32>(score) & 0x7f800000u) == 0x7f800000u) { faults = 1.0f; }
}
let at = 4u * row;
let bits = threefry(vec2u(state[at], 4u), vec2u(state[at + 1u], state[at + 2u])).x;
let top = largest(most, local);
let isFinite = largest(faults, local) == 0.0f;
let own = Row(start, first, end, stride, local, top, temperature, penalty);
let all = vec2u(0u, ${V - 1}u);
var cut = all;
if (topK > 0.0f) { cut = cutAt(own, all, topK, true); }
if (topP < 1.0f) {
  let mass = sumOf(own, cut, all, ${V}u, 0.0f, false);
  cut = cutAt(own, cut, max(topP * mass, 1e-30f), false);
}
let mass = sumOf(own, cut, all, ${V}u, minP, false);
let aim = f32(bits >> 8u) * ${2 ** -24}f * mass;
var id = 0u;
${
      isAlone
        ? `var below = 0.0f;
for (var k = start; k < end && below <= aim; k++) {
  let weight = shareOf(own, k, cut, all, minP, false);
  below += weight;
  if (weight > 0.0f) { id = k - start; }
}`
        : `for (var bit = ${highestBit}u; bit > 0u; bit >>= 1u) {
  let below = sumOf(own, cut, all, id | bit, minP, false);
  if (below <= aim && below < mass) { id |= bit; }
}`
    }
if (leader) {
  let length = state[at + 3u];
  text[row * ${S}u + length % ${S}u] = select(-1, i32(id), isFinite);
  tokens[row * ${T}u] = select(0, i32(id), isFinite);
  if (isFinite) { seen[row * ${V}u + id] = 1; }
  state[at + 2u] += 1u;
  state[at + 3u] = length + 1u;
  cached[row] += count[row];
}`,
  });
  return single(alone(isAlone ? { ...share, size: ROWS_TOGETHER } : share));
};

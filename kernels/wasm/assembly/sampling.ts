// Text: the tokens that are encoded next, and the choice of a token. The choice is explained in
// kernels/wgsl/sampling.ts; a unit is a row.

import { expOne } from "./math";
import { threefry } from "./random";
import { int, pointer } from "./record";

/** Purpose.sample of kernels/random.ts. */
const SAMPLE: i32 = 4;

/** tokens, text, state, count, T, S */
export function lastTokens(r: usize, from: i32, to: i32): void {
  const T = int(r, 4);
  const S = int(r, 5);
  for (let b = from; b < to; b++) {
    const tokens = pointer(r, 0) + (<usize> (b * T) << 2);
    const text = pointer(r, 1) + (<usize> (b * S) << 2);
    const count = load<i32>(pointer(r, 3) + (<usize> b << 2));
    const length = load<i32>(pointer(r, 2) + (<usize> b << 4), 12);
    for (let t = 0; t < T; t++) {
      const at = (length - count + t) % S;
      const id = t < count ? load<i32>(text + (<usize> at << 2)) : 0;
      store<i32>(tokens + (<usize> t << 2), max(0, id));
    }
  }
}

/** text, seen, state, cached, tokens, logits, count, settings, T, V, S. Scratch: a key and a weight of each token. */
export function choose(r: usize, from: i32, to: i32, scratch: usize): void {
  const T = int(r, 8);
  const V = int(r, 9);
  const S = int(r, 10);
  for (let b = from; b < to; b++) {
    const state = pointer(r, 2) + (<usize> b << 4);
    const cached = pointer(r, 3) + (<usize> b << 2);
    const count = load<i32>(pointer(r, 6) + (<usize> b << 2));
    const id = draw(r, b, V, scratch);
    const step = load<i32>(state, 8);
    const length = load<i32>(state, 12);
    store<i32>(pointer(r, 0) + (<usize> (b * S + length % S) << 2), id);
    store<i32>(pointer(r, 4) + (<usize> (b * T) << 2), max(0, id));
    if (id >= 0) store<i32>(pointer(r, 1) + (<usize> (b * V + id) << 2), 1);
    store<i32>(state, step + 1, 8);
    store<i32>(state, length + 1, 12);
    store<i32>(cached, load<i32>(cached) + count);
  }
}

/** Returns the token of a row, -1 if a logit is not finite. */
function draw(r: usize, b: i32, V: i32, keys: usize): i32 {
  const seen = pointer(r, 1) + (<usize> (b * V) << 2);
  const logits = pointer(r, 5) + (<usize> (b * V) << 2);
  const settings = pointer(r, 7) + <usize> b * 20;
  const topK = load<f32>(settings, 4);
  const topP = load<f32>(settings, 8);
  const minP = load<f32>(settings, 12);
  const weights = keys + (<usize> V << 2);
  const end = <usize> V << 2;
  let top: f32 = -Infinity;
  for (let i: usize = 0; i < end; i += 4) {
    let score = load<f32>(logits + i);
    if (load<i32>(seen + i) !== 0) {
      const penalty = load<f32>(settings, 16);
      score = score > 0 ? score / penalty : score * penalty;
    }
    if (!isFinite(score)) return -1;
    top = max(top, score);
    store<f32>(weights + i, score);
    store<u32>(keys + i, keyOf(score));
  }
  for (let i: usize = 0; i < end; i += 4) {
    const x = (load<f32>(weights + i) - top) / load<f32>(settings);
    store<f32>(weights + i, expOne(x));
  }
  if (topK > 0) cut(keys, weights, end, topK, true);
  if (topP < 1) {
    const mass = sum(keys, weights, end, 0, false);
    cut(keys, weights, end, max(<f64> topP * mass, 1e-30), false);
  }
  for (let i: usize = 0; i < end; i += 4) {
    if (load<f32>(weights + i) < minP) store<f32>(weights + i, 0);
  }
  const state = pointer(r, 2) + (<usize> b << 4);
  const counter = i32x4.splat(load<i32>(state, 4));
  const bits = threefry(load<i32>(state), SAMPLE, counter, load<i32>(state, 8));
  const u = <f64> (<u32> i32x4.extract_lane(bits, 0)) / 4294967296.0;
  const aim = u * sum(keys, weights, end, 0, false);
  let below: f64 = 0;
  let at: usize = 0;
  for (let i: usize = 0; i < end && below <= aim; i += 4) {
    const weight = load<f32>(weights + i);
    if (weight === 0) continue;
    below += weight;
    at = i;
  }
  return <i32> (at >> 2);
}

/** Returns an integer above 0 in the order of the score. */
function keyOf(score: f32): u32 {
  const bits = reinterpret<u32>(score + 0); // -0 is 0
  return bits >>> 31 === 0 ? bits | 0x80000000 : ~bits;
}

/** Excludes all but the first tokens, by falling key, whose weights sum to `enough`, or that many tokens: their keys and weights become 0. */
function cut(
  keys: usize,
  weights: usize,
  end: usize,
  enough: f64,
  counts: bool,
): void {
  let least: u32 = 0;
  for (let bit: u32 = 0x80000000; bit > 0; bit >>>= 1) {
    if (sum(keys, weights, end, least | bit, counts) >= enough) least |= bit;
  }
  // Of the tokens with the least key, the first ones.
  let missing = enough - sum(keys, weights, end, least + 1, counts);
  for (let i: usize = 0; i < end; i += 4) {
    const key = load<u32>(keys + i);
    if (key > least) continue;
    if (key === least && missing > 0) {
      missing -= counts ? 1 : <f64> load<f32>(weights + i);
      continue;
    }
    store<u32>(keys + i, 0);
    store<f32>(weights + i, 0);
  }
}

/** Returns the sum of the weights whose key is at least this one, or their number. */
function sum(
  keys: usize,
  weights: usize,
  end: usize,
  least: u32,
  counts: bool,
): f64 {
  let total: f64 = 0;
  for (let i: usize = 0; i < end; i += 4) {
    if (load<u32>(keys + i) < least) continue;
    total += counts ? 1 : <f64> load<f32>(weights + i);
  }
  return total;
}

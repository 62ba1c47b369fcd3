/** Reference kernels of text: the tokens that are encoded next, and the choice of a token. */

import { CounterRandom, Purpose } from "../random.ts";
import type { KernelDims } from "../vocabulary.ts";
import type { F64, I32 } from "./kernel.ts";

/** tokens[b,t] = text[b, (length - count[b] + t) mod S], t < count[b]. */
export function lastTokens(
  [tokens]: readonly [I32],
  [text, state, count]: readonly [I32, I32, I32],
  { B, T, S }: KernelDims["lastTokens"],
): void {
  tokens.fill(0);
  for (let b = 0; b < B; b++) {
    const from = state[4 * b + 3]! - count[b]!;
    for (let t = 0; t < count[b]!; t++) {
      tokens[b * T + t] = Math.max(0, text[b * S + (from + t) % S]!);
    }
  }
}

/** text[b, length mod S] = a token drawn from softmax(logits[b] / temperature), restricted by topK, topP and minP. */
export function choose(
  [text, seen, state, cached, tokens]: readonly [I32, I32, I32, I32, I32],
  [logits, count, settings]: readonly [F64, I32, F64],
  { B, T, V, S }: KernelDims["choose"],
): void {
  for (let b = 0; b < B; b++) {
    const [seed, row, step, length] = state.subarray(4 * b, 4 * b + 4);
    const own = settings.subarray(5 * b, 5 * b + 5);
    const scores = logits.slice(b * V, (b + 1) * V).map((x, v) => {
      if (seen[b * V + v] === 0) return x;
      return x > 0 ? x / own[4]! : x * own[4]!;
    });
    const random = new CounterRandom(seed! >>> 0, Purpose.sample);
    const u = random.uniform(step! >>> 0, row! >>> 0);
    const id = scores.every(Number.isFinite) ? draw(scores, own, u) : -1;
    text[b * S + length! % S] = id;
    tokens[b * T] = Math.max(0, id);
    if (id >= 0) seen[b * V + id] = 1;
    state.set([step! + 1, length! + 1], 4 * b + 2);
    cached[b]! += count[b]!;
  }
}

/** Returns the id at u, in [0, 1), of the distribution. */
function draw(scores: F64, settings: F64, u: number): number {
  const [temperature, topK, topP, minP] = settings as unknown as number[];
  let kept = Array.from(scores.keys());
  kept.sort((v, w) => scores[w]! - scores[v]! || v - w);
  const top = scores[kept[0]!]!;
  const weight = (v: number) => Math.exp((scores[v]! - top) / temperature!);
  const sum = (ids: number[]) => ids.reduce((sum, v) => sum + weight(v), 0);
  if (topK! > 0) kept = kept.slice(0, topK);
  if (topP! < 1) {
    const enough = topP! * sum(kept);
    let most = 0;
    const last = kept.findIndex((v) => (most += weight(v)) >= enough);
    kept = kept.slice(0, last + 1);
  }
  kept = kept.filter((v) => weight(v) >= minP!).sort((v, w) => v - w);
  const target = u * sum(kept);
  let below = 0;
  return kept.find((v) => (below += weight(v)) > target)!;
}

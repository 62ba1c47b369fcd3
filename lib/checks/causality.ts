/**
 * Causality checks: which outputs change, to the bit, if one token changes, on every path. No token
 * may affect an earlier position. Otherwise the model trains on its targets: its losses are too
 * good, and its text is worse than the losses suggest.
 */

import type { Backend, Numbers } from "../backends/backend.ts";
import { Model } from "../model/model.ts";
import { CachedRun } from "./cached_run.ts";
import { makeGeneric, randomIds, variant } from "./variants.ts";
import {
  type CheckGroup,
  type Finding,
  type Verdict,
  verdict,
} from "./verdict.ts";

/** Largest changes of logits after one token changes. */
export interface Reach {
  /** Change at the positions before the token. */
  readonly before: number;
  /** Change at the token's position and after it. */
  readonly later: number;
  /** Change in another row of the batch. */
  readonly other: number;
}

/** Measures the effect of tokens on a full pass: one token of the first of two rows changes at a time. */
export async function fullReach(
  model: Model,
  { tokens, positions }: {
    /** Token ids, (2, T). */
    readonly tokens: Int32Array;
    /** Positions of the changed tokens, each from 1 to T - 1. */
    readonly positions: readonly number[];
  },
): Promise<Reach[]> {
  const { vocabSize: V } = model.config;
  const shape = { B: 2, T: tokens.length / 2 };
  const original = await model.forward(tokens, shape);
  const results = [];
  for (const at of positions) {
    const changed = tokens.with(at, (tokens[at]! + 1) % V);
    const logits = await model.forward(changed, shape);
    const largest = (from: number, to: number) =>
      largestChange(original, logits, { from: from * V, to: to * V });
    results.push({
      before: largest(0, at),
      later: largest(at, shape.T),
      other: largest(shape.T, 2 * shape.T),
    });
  }
  return results;
}

/** Returns whether the padding after the prompts of a prefill changes a bit of logits or caches. */
export async function paddingReaches(
  model: Model,
  prompts: readonly ArrayLike<number>[],
): Promise<boolean> {
  const runWith = async (padding: number) => {
    await using run = new CachedRun(model, prompts.length);
    const logits = await run.feed(prompts, padding);
    return [logits, ...await caches(model, run)];
  };
  const zeros = await runWith(0);
  const others = await runWith(model.config.vocabSize - 1);
  return zeros.some((numbers, i) => differ(numbers, others[i]!));
}

/** Counts the changed numbers in the caches, at positions before a changed token and at later ones. */
export async function cachedReach(
  model: Model,
  { tokens, positions }: {
    /** Token ids, (T), at most `blockSize`. */
    readonly tokens: Int32Array;
    readonly positions: readonly number[];
  },
): Promise<{ readonly before: number; readonly later: number }> {
  const { blockSize, vocabSize: V } = model.config;
  const cachesOf = async (tokens: Int32Array) => {
    await using run = new CachedRun(model, 1);
    await run.feed([tokens]);
    return await caches(model, run);
  };
  const original = await cachesOf(tokens);
  let [before, later] = [0, 0];
  for (const at of positions) {
    const changed = tokens.with(at, (tokens[at]! + 1) % V);
    for (const [layer, cache] of (await cachesOf(changed)).entries()) {
      const past = at * cache.length / blockSize;
      cache.forEach((value, i) => {
        if (value === original[layer]![i]) return;
        if (i < past) before++;
        else later++;
      });
    }
  }
  return { before, later };
}

/** Returns whether stale cache entries after the current tokens change the logits of any decoding step. */
export async function staleCacheReaches(
  model: Model,
  tokens: Int32Array,
): Promise<boolean> {
  const { nLayer, blockSize, attention } = model.config;
  const decode = async (oldContent: number) => {
    await using run = new CachedRun(model, 1);
    const [first, ...rest] = tokens;
    const logits = [await run.feed([[first!]])];
    for (let layer = 0; attention && layer < nLayer; layer++) {
      const cache = run.cache(layer);
      const width = cache.spec.length / blockSize;
      const old = new Float32Array(cache.spec.length - width);
      cache.write(old.fill(oldContent), width);
    }
    for (const id of rest) logits.push(await run.feed([[id]]));
    return logits;
  };
  const clean = await decode(0);
  const dirty = await decode(1e3);
  return clean.some((logits, i) => differ(logits, dirty[i]!));
}

/** Returns the largest difference of two arrays, from one index to before another. */
export function largestChange(
  a: Numbers,
  b: Numbers,
  { from = 0, to = a.length }: {
    readonly from?: number;
    readonly to?: number;
  } = {},
): number {
  let most = 0;
  for (let i = from; i < to; i++) {
    most = Math.max(most, Math.abs(a[i]! - b[i]!)); // NaN stays NaN
  }
  return most;
}

function differ(a: Numbers, b: Numbers): boolean {
  return a.some((value, i) => !Object.is(value, b[i]));
}

/** Returns the content of the caches of all layers. */
function caches(model: Model, run: CachedRun): Promise<Numbers[]> {
  const { attention, nLayer } = model.config;
  const layers = Array.from({ length: attention ? nLayer : 0 }, (_, i) => i);
  return Promise.all(layers.map((layer) => run.cache(layer).read()));
}

/** Returns `count` positions spread over 1 … T - 1, including the first and the last. */
export function spread(count: number, T: number): number[] {
  const last = T - 2;
  const places = Math.min(count, T - 1);
  return Array.from(
    { length: places },
    (_, i) => 1 + Math.round(places === 1 ? 0 : i * last / (places - 1)),
  );
}

/** Architectures to check; each has another position encoding. */
const architectures = [
  "nanoGPT",
  "Llama",
  "modern",
  "position alibi with 3 heads",
];

/** Returns the causality checks, one for each path through small models. */
export function causalityChecks(backend: Backend): CheckGroup {
  return {
    name: "causality",
    meaning:
      "no token changes a bit of what is computed for earlier tokens, on any of the three paths.",
    run: () => checkCausality(backend),
  };
}

async function* checkCausality(backend: Backend): AsyncGenerator<Verdict> {
  const paths = { "full pass": full, prefill, decoding };
  for (const [name, path] of Object.entries(paths)) {
    yield await verdict(name, async () => {
      for (const architecture of architectures) {
        const { config } = variant(architecture);
        await using model = await Model.create(config, { backend });
        await makeGeneric(model);
        const { blockSize: T, vocabSize } = config;
        const finding = await path(model, randomIds(2 * T, { vocabSize }));
        if (finding.status !== "ok") {
          return { ...finding, found: `${architecture}: ${finding.found}` };
        }
      }
      return { status: "ok", found: `0 bits, ${architectures.length} models` };
    });
  }
}

const hint =
  "this device lets a model see the future: do not train on it; try another --device";

async function full(model: Model, tokens: Int32Array): Promise<Finding> {
  const T = tokens.length / 2;
  const positions = spread(T, T);
  for (const reach of await fullReach(model, { tokens, positions })) {
    if (reach.before !== 0 || reach.other !== 0) {
      const most = Math.max(reach.before, reach.other);
      const found = `earlier logits change by ${most.toPrecision(2)}`;
      return { status: "failed", found, hint };
    }
    if (!(reach.later > 0)) {
      const found = "a changed token changes nothing at all";
      return { status: "failed", found, hint };
    }
  }
  return { status: "ok", found: "0 bits" };
}

async function prefill(model: Model, tokens: Int32Array): Promise<Finding> {
  const T = tokens.length / 2;
  const prompts = [tokens.subarray(0, T - 2), tokens.subarray(T, T + 1)];
  if (await paddingReaches(model, prompts)) {
    const found = "padding after a prompt changes its logits";
    return { status: "failed", found, hint };
  }
  const first = tokens.subarray(0, T);
  const positions = spread(T, T);
  const { before } = await cachedReach(model, { tokens: first, positions });
  return before > 0
    ? { status: "failed", found: `${before} cached numbers change`, hint }
    : { status: "ok", found: "0 bits" };
}

async function decoding(model: Model, tokens: Int32Array): Promise<Finding> {
  const first = tokens.subarray(0, tokens.length / 2);
  return await staleCacheReaches(model, first)
    ? {
      status: "failed",
      found: "old content of the cache changes its logits",
      hint,
    }
    : { status: "ok", found: "0 bits" };
}

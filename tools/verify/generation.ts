/** Checks of greedy generation from a key/value cache. */

import type { Numbers } from "../../lib/backends/backend.ts";
import type { Model } from "../../lib/model/model.ts";
import { cachedPlan } from "../../lib/model/plans.ts";
import { Sampler } from "../../lib/text/sampler.ts";
import type { Pair } from "./comparison.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import type { Subject } from "./subject.ts";
import { internalsOf } from "../../lib/model/internals.ts";

/** A recorded generation. */
interface Generation {
  /** Rows. */
  readonly B: number;
  /** Tokens of each prompt. */
  readonly promptLength: number;
  /** Tokens of prompt and text together. */
  readonly length: number;
  /** (B, length): prompts and texts. */
  readonly sequence: Int32Array;
}

/** What running a sequence through the cache gave. */
interface CachedRun {
  /** For the end of the prompt and each token after it, the logits (B, V). */
  readonly steps: readonly Numbers[];
  /** For each layer the filled cache. */
  readonly caches: ReadonlyMap<number, Numbers>;
}

/** Checks all that is recorded of a generation. */
export async function checkGeneration(subject: Subject): Promise<void> {
  const { recording } = subject;
  if (!recording.has("prompt")) return;
  const generation = readGeneration(subject);
  await using model = await subject.model();
  await checkFullLogits(subject, model, generation);
  for (
    const [way, first] of [
      ["prompt at once", generation.promptLength],
      ["token by token", 1],
    ] as const
  ) {
    const run = await runCached(model, generation, first);
    checkStepLogits(subject, run, { ...generation, way });
    checkCaches(subject, run, { ...generation, way });
    if (first === 1) await checkText(subject, model, { generation, run });
  }
}

function readGeneration({ recording, report, config }: Subject): Generation {
  const { vocabSize } = config;
  const prompt = recording.ids("prompt", 2, vocabSize);
  const [B, promptLength] = prompt.shape as [number, number];
  if (!recording.has("generated")) {
    throw new NotUnderstoodError("tensor generated is missing");
  }
  const generated = recording.ids("generated", 2, vocabSize);
  const count = generated.shape[1]!;
  if (generated.shape[0] !== B) {
    throw new NotUnderstoodError(
      `tensor generated has ${generated.shape[0]} rows, prompt ${B}`,
    );
  }
  const newTokens = recording.json("new_tokens");
  if (newTokens !== undefined && newTokens !== count) {
    throw new NotUnderstoodError(
      `metadata new_tokens is ${newTokens}, and ${count} were generated`,
    );
  }
  const length = promptLength + count;
  const sequence = new Int32Array(B * length);
  for (let b = 0; b < B; b++) {
    const row = b * promptLength;
    sequence.set(
      prompt.data.subarray(row, row + promptLength),
      b * length,
    );
    sequence.set(
      generated.data.subarray(b * count, (b + 1) * count),
      b * length + promptLength,
    );
  }
  if (recording.has("sequence")) {
    const recorded = recording.ids("sequence", 2, vocabSize).data;
    report.compare("sequence", [
      { name: "sequence", recorded, computed: sequence },
    ], { measure: "count", limit: 0 });
  }
  return { B, promptLength, length, sequence };
}

/** Logits of the whole sequence in one pass, without a cache. */
async function checkFullLogits(
  subject: Subject,
  model: Model,
  { B, length, sequence }: Generation,
): Promise<void> {
  if (!subject.recording.records("full_logits")) return;
  const logits = await model.forward(sequence, { B, T: length });
  const shape = [B, length, model.config.vocabSize];
  subject.compare("full_logits", logits, { kind: "logits", shape });
}

/** Feeds the sequence: `first` tokens at once, the rest one at a time. */
async function runCached(
  model: Model,
  { B, promptLength, length, sequence }: Generation,
  first: number,
): Promise<CachedRun> {
  const { config } = model;
  const { executor, stores: own } = internalsOf(model);
  const stores = new Map(own);
  const prefill = await executor.compile(
    cachedPlan(config, { B, T: first }),
    stores,
  );
  const decode = await executor.compile(
    cachedPlan(config, { B, T: 1 }),
    stores,
  );
  const steps: Numbers[] = [];
  for (let start = 0; start < length;) {
    const T = start === 0 ? first : 1;
    const program = start === 0 ? prefill : decode;
    program.buffer("tokens").write(
      columns(sequence, { B, length, start, count: T }),
    );
    program.buffer("start").write(new Int32Array(B).fill(start));
    program.buffer("count").write(new Int32Array(B).fill(T));
    program.run();
    start += T;
    if (start >= promptLength) {
      steps.push(await program.buffer("logits").read());
    }
  }
  const caches = new Map<number, Numbers>();
  for (let layer = 0; layer < config.nLayer && config.attention; layer++) {
    const store = stores.get(`h.${layer}.attn.cache`)!;
    caches.set(layer, await store.read());
    store.destroy();
  }
  prefill.destroy();
  decode.destroy();
  return { steps, caches };
}

/** Some columns of a (B, length) array. */
function columns(
  ids: Int32Array,
  { B, length, start, count }: {
    B: number;
    length: number;
    start: number;
    count: number;
  },
): Int32Array {
  return Int32Array.from(
    { length: B * count },
    (_, i) => ids[Math.floor(i / count) * length + start + i % count]!,
  );
}

/** Entry i of `step_logits` (B, steps, V) chose token i of the text; the last may follow its end. */
function checkStepLogits(
  subject: Subject,
  { steps }: CachedRun,
  { B, way }: Generation & { way: string },
): void {
  const { recording, report, config, tolerances } = subject;
  const name = ["step_logits", "ref64.step_logits"].find((name) =>
    recording.has(name)
  );
  if (name === undefined) return;
  const V = config.vocabSize;
  const count = recording.shape(name)[1] ?? 0;
  if (count > steps.length) {
    throw new NotUnderstoodError(
      `tensor ${name} has ${count} steps, and the text only ${steps.length}`,
    );
  }
  const computed = new Float64Array(B * count * V);
  for (let b = 0; b < B; b++) {
    for (let step = 0; step < count; step++) {
      const row = steps[step]!.subarray(b * V, (b + 1) * V);
      computed.set(row, (b * count + step) * V);
    }
  }
  for (const source of recording.sources("step_logits", [B, count, V])) {
    const { name, precision, values: recorded } = source;
    report.compare(
      `${name}, ${way}`,
      [{ name, recorded, computed }],
      tolerances.of("logits", precision),
    );
  }
}

/** `cache.LAYER.k` and `.v` are (B, head, T, HS); ours are (B, L, keys then values). */
function checkCaches(
  subject: Subject,
  { caches }: CachedRun,
  { B, length, way }: Generation & { way: string },
): void {
  const { recording, report, config, tolerances } = subject;
  recording.expectText("cache_layout", "[B, head, T, head_dim]");
  const { nKvHead: NKV, nEmbd, nHead, blockSize } = config;
  const HS = nEmbd / nHead;
  for (
    const [start, precision] of [["", "float32"], [
      "ref64.",
      "rounded",
    ]] as const
  ) {
    const pairs: Pair[] = [];
    for (const [layer, cache] of caches) {
      for (const [part, letter] of ["k", "v"].entries()) {
        const name = `${start}cache.${layer}.${letter}`;
        if (!recording.has(name)) continue;
        const T = Math.min(recording.shape(name)[2] ?? 0, length);
        const recorded = recording.floats(name, [B, NKV, T, HS]);
        const computed = Float64Array.from(
          { length: B * NKV * T * HS },
          (_, i) => {
            const [d, t] = [i % HS, Math.floor(i / HS) % T];
            const row = Math.floor(i / (HS * T));
            const [b, head] = [Math.floor(row / NKV), row % NKV];
            return cache[
              ((b * blockSize + t) * 2 + part) * NKV * HS + head * HS + d
            ]!;
          },
        );
        pairs.push({ name, recorded, computed });
      }
    }
    report.compare(
      `${start}cache, ${way}`,
      pairs,
      tolerances.of("cache", precision),
    );
  }
}

/**
 * The recorded text is the greedy one: no token had a better logit, but for noise,
 * and generating from the prompts gives it again.
 */
async function checkText(
  subject: Subject,
  model: Model,
  { generation, run }: { generation: Generation; run: CachedRun },
): Promise<void> {
  const { report, tolerances, recording } = subject;
  const { behind, margin, largest } = choices(generation, run);
  const { limit } = tolerances.of("logits", "float32");
  report.compare("generated, behind the best logit", [
    { name: "generated", recorded: behind.map(() => 0), computed: behind },
  ], { measure: "absolute", limit: limit * largest });
  const noise = 2 * limit * largest;
  for (const source of recording.sources("min_top1_top2_margin", [1])) {
    report.compare(source.name, [
      { name: source.name, recorded: source.values, computed: [margin] },
    ], { measure: "absolute", limit: noise });
  }
  if (margin <= noise) {
    report.remark(
      `generating from the prompts: two logits are only ${margin} apart, so a float32 run may choose either`,
    );
    return;
  }
  const computed = await generateGreedily(model, generation);
  const { sequence: recorded } = generation;
  report.compare("generated", [{ name: "sequence", recorded, computed }], {
    measure: "count",
    limit: 0,
  });
}

/** How far each recorded token's logit is behind the best, and the smallest lead that a best logit has. */
function choices(
  { B, promptLength, length, sequence }: Generation,
  { steps }: CachedRun,
): { behind: number[]; margin: number; largest: number } {
  const behind: number[] = [];
  let [margin, largest] = [Infinity, 0];
  for (let step = 0; step < length - promptLength; step++) {
    const logits = steps[step]!;
    const V = logits.length / B;
    for (let b = 0; b < B; b++) {
      const row = logits.subarray(b * V, (b + 1) * V);
      const [best, second = -Infinity] = row.toSorted().toReversed();
      const token = sequence[b * length + promptLength + step]!;
      behind.push(best! - row[token]!);
      margin = Math.min(margin, best! - second);
      for (const logit of row) largest = Math.max(largest, Math.abs(logit));
    }
  }
  return { behind, margin, largest };
}

/** Prompts and greedily generated texts, (B, length). */
async function generateGreedily(
  model: Model,
  { B, promptLength, length, sequence }: Generation,
): Promise<Int32Array> {
  const texts = sequence.slice();
  const prompts = Array.from(
    { length: B },
    (_, b) => sequence.subarray(b * length, b * length + promptLength),
  );
  const options = {
    sampler: new Sampler({ temperature: 0 }),
    maxNewTokens: length - promptLength,
  };
  let at = promptLength;
  for await (const ids of model.generateBatch(prompts, options)) {
    ids.forEach((id, b) => texts[b * length + at] = id);
    at++;
  }
  return texts;
}

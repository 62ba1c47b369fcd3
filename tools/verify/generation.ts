/** Checks of greedy generation from a key/value cache. */

import type { Numbers } from "../../lib/backends/backend.ts";
import { CachedRun } from "../../lib/checks/cached_run.ts";
import type { Model } from "../../lib/model/model.ts";
import { Sampler } from "../../lib/text/sampler.ts";
import { refuse } from "./recording.ts";
import type { Subject } from "./subject.ts";

/** Prompts and their continuations, a row each. */
interface Generation {
  readonly prompts: readonly Int32Array[];
  readonly texts: readonly Int32Array[];
}

/** The results of feeding prompts and texts through the cache. */
interface Result {
  /** For the end of the prompt and each token after it, the logits (B, V). */
  readonly steps: readonly Numbers[];
  /** For each layer the filled cache, (B, L, 2, NKV, HS). */
  readonly caches: readonly Numbers[];
}

/** Checks `prompt` (B, P), `generated` (B, G), `step_logits` (B, up to G + 1, V) and `cache.LAYER.k` and `.v` (B, NKV, up to P + G, HS). */
export async function checkGeneration(
  subject: Subject,
  model: Model,
): Promise<void> {
  if (!subject.recording.has("prompt")) return;
  const generation = readGeneration(subject);
  const { prompts } = generation;
  for (
    const [way, first] of [
      ["prompt at once", prompts[0]!.length],
      ["token by token", 1],
    ] as const
  ) {
    const result = await runCached(model, generation, first);
    checkStepLogits(subject, result, way);
    checkCaches(subject, result, { generation, way });
    if (first === 1) await checkText(subject, model, { generation, result });
  }
}

function readGeneration({ recording, config }: Subject): Generation {
  const rows = (name: string) => {
    const { shape, data } = recording.ids(name, 2, config.vocabSize);
    const [B, length] = shape as [number, number];
    return Array.from(
      { length: B },
      (_, b) => data.subarray(b * length, (b + 1) * length),
    );
  };
  const [prompts, texts] = [rows("prompt"), rows("generated")];
  if (texts.length !== prompts.length) {
    refuse(
      `tensor generated has ${texts.length} rows, prompt ${prompts.length}`,
    );
  }
  const length = prompts[0]!.length + texts[0]!.length;
  if (length > config.blockSize) {
    refuse(
      `sequences of ${length} are longer than blockSize (${config.blockSize})`,
    );
  }
  return { prompts, texts };
}

/** Feeds each row: `first` tokens at once, the rest one at a time. */
async function runCached(
  model: Model,
  { prompts, texts }: Generation,
  first: number,
): Promise<Result> {
  const rows = prompts.map((prompt, b) => [...prompt, ...texts[b]!]);
  const P = prompts[0]!.length;
  await using run = new CachedRun(model, rows.length);
  const steps: Numbers[] = [];
  for (let end = first; end <= rows[0]!.length; end++) {
    const start = end === first ? 0 : end - 1;
    const logits = await run.feed(rows.map((row) => row.slice(start, end)));
    if (end >= P) steps.push(logits);
  }
  const { nLayer, attention } = model.config;
  const caches: Numbers[] = [];
  for (let layer = 0; layer < nLayer && attention; layer++) {
    caches.push(await run.cache(layer).read());
  }
  return { steps, caches };
}

/** Checks `step_logits`: entry i chose token i of the text; the last may follow its end. */
function checkStepLogits(
  { recording, report, config, tolerances }: Subject,
  { steps }: Result,
  way: string,
): void {
  const name = "step_logits";
  if (!recording.has(name)) return;
  const V = config.vocabSize;
  const [B, count = 0] = [steps[0]!.length / V, recording.shape(name)[1]];
  if (count > steps.length) {
    refuse(
      `tensor ${name} has ${count} steps, and the text only ${steps.length}`,
    );
  }
  const values = Float64Array.from({ length: B * count * V }, (_, i) => {
    const [step, b] = [Math.floor(i / V) % count, Math.floor(i / (count * V))];
    return steps[step]![b * V + i % V]!;
  });
  recording.compare(report, {
    quantity: `${name}, ${way}`,
    computed: [{ name, shape: [B, count, V], values }],
    tolerance: (precision) => tolerances.of("logits", precision),
  });
}

function checkCaches(
  { recording, report, config, tolerances }: Subject,
  { caches }: Result,
  { generation: { prompts, texts }, way }: {
    generation: Generation;
    way: string;
  },
): void {
  const { nKvHead: NKV, headSize: HS, blockSize: L } = config;
  const B = prompts.length;
  const length = prompts[0]!.length + texts[0]!.length;
  for (const [part, letter] of ["k", "v"].entries()) {
    const computed = caches.flatMap((cache, layer) => {
      const name = `cache.${layer}.${letter}`;
      if (!recording.has(name)) return [];
      const T = Math.min(recording.shape(name)[2] ?? 0, length);
      const values = Float64Array.from({ length: B * NKV * T * HS }, (_, i) => {
        const [d, t] = [i % HS, Math.floor(i / HS) % T];
        const row = Math.floor(i / (HS * T));
        const [b, head] = [Math.floor(row / NKV), row % NKV];
        return cache[(((b * L + t) * 2 + part) * NKV + head) * HS + d]!;
      });
      return [{ name, shape: [B, NKV, T, HS], values }];
    });
    recording.compare(report, {
      quantity: `cache.${letter}, ${way}`,
      computed,
      tolerance: (precision) => tolerances.of("cache", precision),
    });
  }
}

/**
 * Checks that the recorded text is the greedy one: no token has a better logit, but for noise,
 * and generating from the prompts gives it again.
 */
async function checkText(
  { report, tolerances }: Subject,
  model: Model,
  { generation, result }: { generation: Generation; result: Result },
): Promise<void> {
  const { behind, margin, largest } = choices(generation, result);
  const limit = tolerances.of("logits", "float32").limit * largest;
  report.compare("generated, behind the best logit", [
    { name: "generated", recorded: behind.map(() => 0), computed: behind },
  ], { measure: "absolute", limit });
  if (margin <= 2 * limit) {
    report.remark(
      `generating from the prompts: two logits are only ${margin} apart, so a float32 run may choose either`,
    );
    return;
  }
  const { prompts, texts } = generation;
  const generated = model.generateBatch(prompts, {
    sampler: new Sampler({ temperature: 0 }),
    maxNewTokens: texts[0]!.length,
  });
  const computed: number[][] = texts.map(() => []);
  for await (const ids of generated) {
    ids.forEach((id, b) => computed[b]!.push(id));
  }
  report.compare(
    "generated",
    texts.map((recorded, b) => ({
      name: `generated row ${b}`,
      recorded,
      computed: computed[b]!,
    })),
    { measure: "count", limit: 0 },
  );
}

/** Returns the distance of each recorded token's logit from the best, and the smallest lead of a best logit. */
function choices(
  { texts }: Generation,
  { steps }: Result,
): { behind: number[]; margin: number; largest: number } {
  const behind: number[] = [];
  let [margin, largest] = [Infinity, 0];
  for (const [b, text] of texts.entries()) {
    for (const [step, token] of text.entries()) {
      const V = steps[step]!.length / texts.length;
      const row = steps[step]!.subarray(b * V, (b + 1) * V);
      const [best, second = -Infinity] = row.toSorted().toReversed();
      behind.push(best! - row[token]!);
      margin = Math.min(margin, best! - second);
      for (const logit of row) largest = Math.max(largest, Math.abs(logit));
    }
  }
  return { behind, margin, largest };
}

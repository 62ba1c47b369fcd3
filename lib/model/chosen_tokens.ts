/**
 * Generation in blocks: the device chooses the tokens (the kernel `choose`), and the host reads some dozens at once. They are
 * those that a `Sampler` draws on the host, from float32 sums instead of float64 ones: a draw differs if its random number is
 * within some 1e-7 of the border between two tokens, or two logits are that near to one another.
 */

import type { ModelConfig } from "../config/model.ts";
import { Sampler, type SamplerOptions } from "../text/sampler.ts";
import type { Generation, Slide } from "./generation.ts";
import { yieldIfDue } from "./parts.ts";
import { MOST_TOKENS, textSlots } from "./plans.ts";

/** Tokens of the first block: few, so that a text begins soon. */
const FIRST_TOKENS = 4;

/** Duration of a block, in milliseconds, below which the next one is twice as long; above four times that, half as long. */
const SHORT_MS = 50;

/** Returns whether the device draws what a sampler draws: a subclass may draw something else, or look at the logits. */
export function isPlain({ sample, sampleBatch }: Sampler): boolean {
  return sample === Sampler.prototype.sample &&
    sampleBatch === Sampler.prototype.sampleBatch;
}

/** Texts to continue, and the options of their generation. */
export interface TextsToContinue {
  readonly config: ModelConfig;
  /** Texts so far, which grow. */
  readonly histories: readonly number[][];
  readonly sampler: Sampler;
  readonly maxNewTokens: number;
  readonly signal: AbortSignal | undefined;
  readonly onSlide: ((slide: Slide) => void) | undefined;
}

/**
 * Yields the tokens of a step, one for each text, that the device has chosen.
 *
 * @returns the step that the host must go on with: a logit is not finite, which only the host can judge; or `maxNewTokens`
 */
export async function* chosenTokens(
  generation: Generation,
  { config, histories, sampler, maxNewTokens, signal, onSlide }:
    TextsToContinue,
): AsyncGenerator<Int32Array, number> {
  await write(generation, config, { histories, options: sampler.options });
  const S = textSlots(config);
  let length = FIRST_TOKENS;
  for (let step = 0; step < maxNewTokens;) {
    if (signal?.aborted) return maxNewTokens;
    const lengths = histories.map(({ length }) => length);
    const begins = generation.begins();
    const count = Math.min(length, maxNewTokens - step);
    const begun = performance.now();
    const slides = await generation.choose(lengths, count);
    const texts = await (await generation.store("text")).read();
    const ms = performance.now() - begun;
    for (let token = 0; token < count; token++, step++) {
      await yieldIfDue();
      if (signal?.aborted) return maxNewTokens;
      for (
        const { row, forgotten } of slides.filter((s) => s.token === token)
      ) {
        begins[row]! += forgotten;
        onSlide?.({ row, forgotten });
      }
      const ids = Int32Array.from(
        lengths,
        (length, row) => texts[row * S + (length + token) % S]!,
      );
      if (ids.includes(-1)) {
        begins.forEach((begin, row) => generation.reset(row, begin));
        return step;
      }
      ids.forEach((id, row) => histories[row]!.push(id));
      yield ids;
    }
    if (ms < SHORT_MS) length = Math.min(2 * length, MOST_TOKENS);
    else if (ms > 4 * SHORT_MS) length = Math.max(1, length >> 1);
  }
  return maxNewTokens;
}

/** Writes the texts and the sampler's options into the stores of the kernel `choose`. */
async function write(
  generation: Generation,
  config: ModelConfig,
  { histories, options }: {
    readonly histories: readonly number[][];
    readonly options: SamplerOptions;
  },
): Promise<void> {
  const S = textSlots(config);
  const V = config.vocabSize;
  const rows = histories.length;
  const text = new Int32Array(rows * S);
  const seen = new Int32Array(rows * V);
  histories.forEach((history, row) => {
    for (let i = Math.max(0, history.length - S); i < history.length; i++) {
      text[row * S + i % S] = history[i]!;
    }
    for (const id of history) seen[row * V + id] = 1;
  });
  const { seed = 0 } = options;
  const contents = {
    text,
    seen,
    state: histories.flatMap(({ length }, row) => [seed, row, 0, length]),
    settings: histories.flatMap(() => settingsOf(options)),
  };
  for (const [name, data] of Object.entries(contents)) {
    (await generation.store(name)).write(data);
  }
}

/** Returns the settings of the kernel `choose`. */
export function settingsOf(
  { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 }:
    SamplerOptions,
): number[] {
  return temperature === 0
    ? [1, 1, 1, 0, repetitionPenalty]
    : [Math.max(temperature, 1e-30), topK, topP, minP, repetitionPenalty];
}

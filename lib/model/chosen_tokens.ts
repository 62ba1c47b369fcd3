/**
 * Generation in blocks: the device chooses the tokens (the kernel `choose`), and the host reads some dozens at once. They are
 * those that a `Sampler` draws on the host, from float32 sums instead of float64 ones: a draw differs if its random number is
 * within some 1e-7 of the border between two tokens, or two logits are that near to one another.
 */

import type { Numbers } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import { Sampler, type SamplerOptions } from "../text/sampler.ts";
import type { Generation, Slide } from "./generation.ts";
import { flopsPerToken } from "./parameters.ts";
import { PART_FLOPS, yieldIfDue } from "./parts.ts";
import { MOST_TOKENS, parameterLayout, textSlots } from "./plans.ts";

/** Most tokens of the first block: few, so that a text begins soon. */
const FIRST_TOKENS = 4;

/** Duration of a block in milliseconds: several times as long as Deno takes to notice that a read is done. */
const BLOCK_MS = 40;

/** Most times that a block is longer than the one whose duration is known. */
const GROWTH = 4;

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

/** Tokens that the device chooses, and the host reads at once. */
interface Block {
  readonly count: number;
  /** Length of each text before the block, and where its window begins. */
  readonly lengths: readonly number[];
  readonly begins: number[];
  readonly slides: Awaited<ReturnType<Generation["choose"]>>;
  /** Contents of the store `text` after the block, and when they arrived. */
  readonly read: Promise<{ readonly texts: Numbers; readonly at: number }>;
  readonly queued: number;
}

/**
 * Yields the tokens of a step, one for each text, that the device has chosen. While the host reads a block and the caller
 * takes its tokens, the device computes the next one.
 *
 * @returns the step that the host must go on with: a logit is not finite, which only the host can judge; or `maxNewTokens`
 */
export async function* chosenTokens(
  generation: Generation,
  { config, histories, sampler, maxNewTokens, signal, onSlide }:
    TextsToContinue,
): AsyncGenerator<Int32Array, number> {
  const { options } = sampler;
  for (const [row, history] of histories.entries()) {
    await writeText(generation, config, { row, history, options });
  }
  const S = textSlots(config);
  const prompts = histories.map(({ length }) => length);
  let ahead = 0; // tokens of each text that are chosen or queued
  const queue = async (most: number): Promise<Block | undefined> => {
    const count = Math.min(most, maxNewTokens - ahead);
    if (count === 0) return undefined;
    const lengths = prompts.map((length) => length + ahead);
    ahead += count;
    const begins = generation.begins();
    const slides = await generation.choose(lengths, count);
    const queued = performance.now(); // kernels are compiled now
    const text = await generation.store("text");
    const read = text.read()
      .then((texts) => ({ texts, at: performance.now() }));
    read.catch(() => {}); // the block before may reject first
    return { count, lengths, begins, slides, read, queued };
  };
  let length = firstTokens(config, histories.length);
  let step = 0;
  let last = 0; // when the last block arrived
  let next = await queue(length);
  try {
    while (next !== undefined) {
      if (signal?.aborted) return maxNewTokens;
      const { count, lengths, begins, slides, read, queued } = next;
      next = await queue(length);
      const { texts, at } = await read;
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
      length = blockLength(count, at - Math.max(last, queued));
      last = at;
    }
  } finally {
    await next?.read.catch(() => {}); // its memory is about to be freed
  }
  return maxNewTokens;
}

/** Returns the number of tokens of a block whose duration is not known. */
export function firstTokens(config: ModelConfig, rows: number): number {
  const trainFlops = rows * flopsPerToken(config, parameterLayout(config));
  const short = Math.floor(3 * PART_FLOPS / trainFlops);
  return Math.max(1, Math.min(FIRST_TOKENS, short));
}

/** Returns the number of tokens that take {@linkcode BLOCK_MS}, where `count` took `ms`. */
export function blockLength(count: number, ms: number): number {
  const most = Math.min(GROWTH * count, MOST_TOKENS);
  return Math.max(1, Math.min(most, Math.round(count * BLOCK_MS / ms)));
}

/** A text as the kernel `choose` continues it. */
export interface WrittenText {
  /** Row of the generation that the text has. */
  readonly row: number;
  readonly history: readonly number[];
  readonly options: SamplerOptions;
  /** Row and step of its random numbers; by default those of the first token of this row. */
  readonly draws?: { readonly row: number; readonly step: number };
}

/** Writes a text and its sampler's options into the stores of the kernel `choose`. */
export async function writeText(
  generation: Generation,
  config: ModelConfig,
  { row, history, options, draws = { row, step: 0 } }: WrittenText,
): Promise<void> {
  const S = textSlots(config);
  const V = config.vocabSize;
  const { length } = history;
  const text = new Int32Array(S);
  for (let i = Math.max(0, length - S); i < length; i++) {
    text[i % S] = history[i]!;
  }
  const seen = new Int32Array(V);
  for (const id of history) seen[id] = 1;
  const { seed = 0 } = options;
  const contents = {
    text,
    seen,
    state: [seed, draws.row, draws.step, length],
    settings: settingsOf(options),
  };
  for (const [name, data] of Object.entries(contents)) {
    (await generation.store(name)).write(data, row * data.length);
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

/** Checks that prompts of different lengths do not affect each other in one batch. */

import type { GenerateOptions } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { type Logits, Sampler } from "../text/sampler.ts";
import { largestChange } from "./causality.ts";
import type { Finding } from "./verdict.ts";
import type { Tokens } from "../text/tokens.ts";

/** Function that continues prompts as {@linkcode Model.generateBatch} should. */
export type Continue = (
  model: Model,
  prompts: readonly Int32Array[],
  options: GenerateOptions,
) => AsyncIterable<unknown>;

/** Number of tokens to add to each prompt. */
const TOKENS = 8;

/**
 * Largest difference of logits. Sums of a row may round in another order if the row is alone, which
 * gives differences of about 1e-5.
 */
const TOLERANCE = 1e-3;

/** Continues prompts of 1, 4, 16 … tokens of a text in one batch and alone, always with the same tokens. */
export async function sideBySide(
  model: Model,
  text: Tokens,
  write: Continue = (model, prompts, options) =>
    model.generateBatch(prompts, options),
): Promise<Finding> {
  const { blockSize, vocabSize: V } = model.config;
  const longest = Math.min(Math.max(2, blockSize / 2), text.length);
  const first = Int32Array.from(text.subarray(0, longest));
  const prompts = [first];
  for (let length = 1; length < longest; length *= 4) {
    prompts.push(first.slice(0, length));
  }
  const logits = async (prompts: readonly Int32Array[]) => {
    const listener = new FixedSampler(text);
    const options = { sampler: listener, maxNewTokens: TOKENS };
    for await (const _ of write(model, prompts, options));
    return listener.logits;
  };
  const together = await logits(prompts);
  let [different, most] = [0, 0];
  for (const [row, prompt] of prompts.entries()) {
    const alone = await logits([prompt]);
    let worst = 0;
    alone.forEach((logits, step) => {
      const beside = together[step]!.subarray(row * V, (row + 1) * V);
      worst = Math.max(worst, largestChange(logits, beside));
    });
    if (!(worst <= TOLERANCE)) different++;
    most = Math.max(most, worst);
  }
  const numbers = { different, prompts: prompts.length, most };
  const which = `${prompts.length} prompts of 1 to ${longest} tokens`;
  return different === 0
    ? {
      status: "ok",
      found: `${which}: the same logits in one batch as alone`,
      numbers,
    }
    : {
      status: "failed",
      found:
        `${different} of ${which} have other logits in one batch than alone, by up to ${
          most.toPrecision(2)
        }`,
      hint:
        "the padding of shorter prompts is read as text: it must be masked or left out",
      numbers,
    };
}

/** Sampler that returns the tokens of a fixed text and records the logits. */
export class FixedSampler extends Sampler {
  readonly logits: Logits[] = [];
  readonly #text: Tokens;

  constructor(text: Tokens) {
    super();
    this.#text = text;
  }

  override sampleBatch(
    logits: Logits,
    { rows, step }: Parameters<Sampler["sampleBatch"]>[1],
  ): Int32Array {
    this.logits.push(logits.slice());
    return new Int32Array(rows).fill(this.#text[step % this.#text.length]!);
  }
}

/** Whether prompts of unequal length disturb each other when they are continued together. */

import type { GenerateOptions } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { type Logits, Sampler } from "../text/sampler.ts";
import type { Finding } from "./verdict.ts";
import type { Tokens } from "../text/tokens.ts";

/** Continues prompts; as {@linkcode Model.generateBatch} does it, or not. */
export type Continue = (
  model: Model,
  prompts: readonly Int32Array[],
  options: GenerateOptions,
) => AsyncIterable<unknown>;

/** Tokens that each prompt is continued by. */
const TOKENS = 8;

/**
 * How far logits may be apart. A row's sums are rounded in another order where it is alone; that makes
 * some 1e-5 of them.
 */
const TOLERANCE = 1e-3;

/** Continues prompts of 1, 4, 16 … tokens of a text together and each alone, always by the same tokens. */
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
  const heard = async (prompts: readonly Int32Array[]) => {
    const listener = new Listener(text);
    const options = { sampler: listener, maxNewTokens: TOKENS };
    for await (const _ of write(model, prompts, options));
    return listener.heard;
  };
  const together = await heard(prompts);
  let [different, most] = [0, 0];
  for (const [row, prompt] of prompts.entries()) {
    const alone = await heard([prompt]);
    let worst = 0;
    alone.forEach((logits, step) => {
      const beside = together[step]!.subarray(row * V, (row + 1) * V);
      logits.forEach((x, i) => {
        worst = Math.max(worst, Math.abs(x - beside[i]!));
      });
    });
    if (!(worst <= TOLERANCE)) different++;
    most = Math.max(most, worst);
  }
  const numbers = { different, prompts: prompts.length, most };
  const which = `${prompts.length} prompts of 1 to ${longest} tokens`;
  return different === 0
    ? {
      status: "ok",
      found: `${which}: each goes on beside the others as alone`,
      numbers,
    }
    : {
      status: "failed",
      found:
        `${different} of ${which} go on differently beside others than alone, by up to ${
          most.toPrecision(2)
        } in the logits`,
      hint:
        "the padding of shorter prompts is read as text: it must be masked or left out",
      numbers,
    };
}

/** Says always the same tokens, and keeps the logits that it was to draw from. */
class Listener extends Sampler {
  readonly heard: Logits[] = [];
  readonly #text: Tokens;

  constructor(text: Tokens) {
    super();
    this.#text = text;
  }

  override sampleBatch(
    logits: Logits,
    { rows, step }: Parameters<Sampler["sampleBatch"]>[1],
  ): Int32Array {
    this.heard.push(logits.slice());
    return new Int32Array(rows).fill(this.#text[step % this.#text.length]!);
  }
}

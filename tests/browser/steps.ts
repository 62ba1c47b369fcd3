/** Some training steps, to compare a runtime with another. */

import type { Backend } from "../../lib/backends/backend.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { Model } from "../../lib/model/model.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { Trainer } from "../../lib/train/trainer.ts";

/** What came out. */
export interface Trained {
  readonly losses: number[];
  /** The checkpoint after the last step, in base64. */
  readonly checkpoint: string;
  /** A text of the trained model. */
  readonly text: string;
}

/** A text with some structure, made here so that both runtimes have it. */
const text = Array.from(
  { length: 400 },
  (_, i) => `${i} and ${(i * i) % 97} make ${i + (i * i) % 97}.\n`,
).join("");

/**
 * Trains with a preset.
 *
 * @param options.checkpoint in base64; training resumes from it
 */
export async function steps(
  backend: Backend,
  { preset, maxSteps, until = maxSteps, checkpoint }: {
    readonly preset: PresetName;
    readonly maxSteps: number;
    /** The step after which to stop; `maxSteps` if left out. */
    readonly until?: number;
    readonly checkpoint?: string;
  },
): Promise<Trained> {
  const { model: architecture, train } = presets[preset];
  const tokenizer = Tokenizer.chars(text);
  const { vocabSize } = tokenizer;
  const { blockSize = 128 } = architecture;
  const { batchSize = 16 } = train;
  await using model = await Model.create({ ...architecture, vocabSize }, {
    ...{ backend, seed: 1, tokenizer },
  });
  const dataset = new Dataset(tokenizer.encode(text), {
    ...{ blockSize, batchSize, seed: 1 },
  });
  const trainer = new Trainer(model, dataset, {
    ...train,
    ...{ maxSteps, evalInterval: 0, sampleInterval: 0, checkpointInterval: 0 },
    evalTokens: 1,
  });
  if (checkpoint !== undefined) {
    await trainer.restore(decodeCheckpoint(bytesOf(checkpoint)));
  }
  const losses: number[] = [];
  for await (const event of trainer.run()) {
    if (event.kind !== "step" || event.step > until) continue;
    losses.push(event.loss);
    if (event.step === until) trainer.stop({ evaluate: false });
  }
  let written = "";
  for await (
    const piece of model.write("1 and ", { maxNewTokens: 60, seed: 1 })
  ) {
    written += piece;
  }
  return {
    losses,
    checkpoint: textOf(await trainer.save()),
    text: written,
  };
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0));
}

function textOf(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

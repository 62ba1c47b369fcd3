/**
 * A training loop of one's own: batches mixed from two texts, a rule for when to stop,
 * and the weights of the best evaluation kept in `best.safetensors`.
 *
 *     deno run -A examples/loop.ts [TEXT] [OTHER]
 *
 * `Trainer.run` is an async generator: the device computes ahead of the loop's body, but
 * while the body holds an evaluation the model is exactly as it was measured.
 */

import { type Batch, Dataset, Model, Tokenizer, Trainer } from "@lm/core";

const root = new URL("../", import.meta.url);
const [
  path = new URL("docs/cpu.md", root),
  other = new URL("docs/works.md", root),
] = Deno.args;
const text = await Deno.readTextFile(path);
const otherText = await Deno.readTextFile(other);
const tokenizer = Tokenizer.chars(text + otherText);

/** The batches of a text, every fourth one in place of it from another text. */
class Mixed extends Dataset {
  readonly #other: Dataset;

  constructor(text: string, otherText: string) {
    const options = { blockSize: 32, batchSize: 8, seed: 1 };
    super(tokenizer.encode(text), options);
    this.#other = new Dataset(tokenizer.encode(otherText), options);
  }

  // A batch follows from its step alone: that is why a resumed run equals one that
  // never stopped. So a rule of your own should not depend on what was drawn before.
  override batch(step: number, microStep = 0): Batch {
    return step % 4 === 3
      ? this.#other.batch(step, microStep)
      : super.batch(step, microStep);
  }
}

await using model = await Model.create(
  {
    ...{ vocabSize: tokenizer.vocabSize, blockSize: 32 },
    ...{ nLayer: 1, nHead: 2, nEmbd: 32, position: "learned" },
  },
  { tokenizer, seed: 1 },
);
const trainer = new Trainer(model, new Mixed(text, otherText), {
  maxSteps: 1000, // an upper bound: the rule below stops earlier
  learningRate: 2e-2,
  evalInterval: 50,
});

const patience = 3; // evaluations in a row without a new lowest loss
let best: { loss: number; step: number; bytes: Uint8Array } | undefined;
let worse = 0;
for await (const event of trainer.run()) {
  if (event.kind === "end") console.log(`${event.reason} at ${event.step}`);
  if (event.kind !== "eval") continue;
  const { step, valLoss } = event;
  console.log(`step ${step}: validation loss ${valLoss.toFixed(3)}`);
  if (best === undefined || valLoss < best.loss) {
    best = { loss: valLoss, step, bytes: await model.save() };
    worse = 0;
  } else if (++worse === patience) {
    trainer.stop(); // ends the run after the step under way
  }
}
const { loss, step, bytes } = best!; // every run ends with an evaluation
console.log(`lowest: ${loss.toFixed(3)} at step ${step}`);
await Deno.writeFile("best.safetensors", bytes);

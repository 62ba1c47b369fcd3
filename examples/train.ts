/**
 * Trains a small model on a text, writes what it continues "The " with, and keeps it
 * in `model.safetensors`, which the other examples read:
 *
 *     deno run -A examples/train.ts [TEXT]
 */

import { Dataset, Model, Tokenizer, Trainer } from "@lm/core";

const path = Deno.args[0] ?? new URL("../docs/cpu.md", import.meta.url);
const text = await Deno.readTextFile(path);
const tokenizer = Tokenizer.chars(text); // a token for each character that occurs
const [blockSize, batchSize] = [64, 8];
const dataset = new Dataset(tokenizer.encode(text), { blockSize, batchSize });
// `await using` closes the device at the end: its threads would keep the program running.
await using model = await Model.create(
  {
    ...{ vocabSize: tokenizer.vocabSize, blockSize, nLayer: 2, nEmbd: 32 },
    position: "rope", // the default, "none", learns more slowly
  },
  { tokenizer }, // the device is "auto": a GPU if there is one, else the CPU
);
const options = { maxSteps: 400, learningRate: 1e-2 };
for await (const event of new Trainer(model, dataset, options).run()) {
  if (event.kind === "step" && event.step % 50 === 0) {
    console.log(`step ${event.step}: loss ${event.loss.toFixed(3)}`);
  } else if (event.kind === "eval") {
    console.log(`validation loss ${event.valLoss.toFixed(3)}`);
  }
}

for await (const piece of model.write("The ", { topK: 10, maxNewTokens: 80 })) {
  await Deno.stdout.write(new TextEncoder().encode(piece));
}
console.log();

// Configuration and tokenizer are in the file: Model.load needs nothing else.
await Deno.writeFile("model.safetensors", await model.save());

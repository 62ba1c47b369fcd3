/**
 * Trains up to a step, keeping a checkpoint, and goes on from the checkpoint if there is
 * one. Stop it with Ctrl-C and start it again, or give it more steps:
 *
 *     deno run -A examples/resume.ts [STEPS]
 *
 * Training in two parts gives the same bits as in one.
 */

import { Dataset, Model, Tokenizer, Trainer } from "@lm/core";
import { decodeCheckpoint } from "@lm/core/formats";

const path = "checkpoint.safetensors";
const maxSteps = Number(Deno.args[0] ?? 200);

const text = await Deno.readTextFile(
  new URL("../docs/cpu.md", import.meta.url),
);
const bytes = await Deno.readFile(path).catch((error) => {
  if (error instanceof Deno.errors.NotFound) return undefined;
  throw error; // a file that cannot be read is not a file that is not there
});
const checkpoint = bytes && decodeCheckpoint(bytes);
const tokenizer = checkpoint?.tokenizer ?? Tokenizer.chars(text);
const shape = { blockSize: 32, batchSize: 4 };
const dataset = new Dataset(tokenizer.encode(text), { ...shape, seed: 1 });
const { vocabSize } = tokenizer;
await using model = checkpoint
  ? await Model.load(checkpoint)
  : await Model.create(
    { vocabSize, blockSize: 32, nLayer: 1, nEmbd: 32 },
    { seed: 1, tokenizer },
  );

// The same options each time: the learning rate at a step depends on them.
const trainer = new Trainer(
  model,
  dataset,
  {
    maxSteps,
    schedule: "constant", // "cosine" depends on maxSteps, unless decaySteps is set
    checkpointInterval: 50,
  },
);
if (checkpoint) await trainer.restore(checkpoint);
console.log(`from step ${trainer.step}`);

const stop = new AbortController();
const onInterrupt = () => stop.abort();
Deno.addSignalListener("SIGINT", onInterrupt);
for await (const event of trainer.run({ signal: stop.signal })) {
  if (event.kind === "checkpoint") {
    // Written beside and renamed: a crash half-way leaves the old file whole.
    await Deno.writeFile(`${path}.partial`, event.bytes);
    await Deno.rename(`${path}.partial`, path);
    console.log(`kept step ${event.step}`);
  } else if (event.kind === "eval") {
    console.log(`validation loss ${event.valLoss.toFixed(3)}`);
  }
}
Deno.removeSignalListener("SIGINT", onInterrupt); // it would keep the program running

/** A worker that takes `Deno` away and then trains, saves, loads and generates: as in a browser, there is none. */

import { Dataset, Model, Tokenizer, Trainer } from "../mod.ts";

Reflect.deleteProperty(globalThis, "Deno");

const text = "to be or not to be ".repeat(9);
const tokenizer = Tokenizer.chars(text);
const dataset = new Dataset(tokenizer.encode(text), {
  blockSize: 8,
  batchSize: 2,
});
const device = "reference";
await using model = await Model.create({
  ...{ vocabSize: tokenizer.vocabSize, blockSize: 8, nLayer: 1 },
  ...{ nHead: 1, nEmbd: 8, position: "rope" },
}, { device });
const trainer = new Trainer(model, dataset, { maxSteps: 3, tokenizer });
const events = await Array.fromAsync(trainer.run());
await using loaded = await Model.load(await trainer.save(), { device });
const ids = await Array.fromAsync(
  loaded.generate(tokenizer.encode("to"), { maxNewTokens: 12 }),
);

/** What the worker tells of itself. */
export interface Told {
  readonly hasDeno: boolean;
  readonly steps: number;
  readonly characters: number;
}

const told: Told = {
  hasDeno: "Deno" in globalThis,
  steps: events.filter(({ kind }) => kind === "step").length,
  characters: tokenizer.decode(ids).length,
};
(globalThis as unknown as { postMessage(message: Told): void })
  .postMessage(told);

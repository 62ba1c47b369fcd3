/** How a Trainer is bounded: in tokens of an evaluation, in time, and by a pause. */

import { assert, assertEquals } from "@std/assert";
import { batchesWithin, Dataset } from "../../lib/text/dataset.ts";
import type { TrainEvent } from "../../lib/train/events.ts";
import { Model } from "../../lib/model/model.ts";
import { EVAL_TOKENS, SplitLossMeter } from "../../lib/train/split_losses.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { Trainer } from "../../lib/train/trainer.ts";

const text = "to be or not to be, that is the question. ".repeat(9);
const tokenizer = Tokenizer.chars(text);
const { vocabSize } = tokenizer;
const dataset = new Dataset(tokenizer.encode(text), {
  blockSize: 6,
  batchSize: 2,
});

function createModel(): Promise<Model> {
  return Model.create(
    { vocabSize, blockSize: 6, nLayer: 1, nHead: 1, nEmbd: 4 },
    { device: "reference", seed: 2 },
  );
}

Deno.test("A bounded Trainer stops without an evaluation, and makes up for it on the next run", async () => {
  await using model = await createModel();
  const trainer = new Trainer(model, dataset, {
    ...{ maxSteps: 12, evalInterval: 4, checkpointInterval: 4, tokenizer },
    sample: { prompt: "t", maxNewTokens: 3 },
  });
  const told: string[] = [];
  for await (const event of trainer.run()) {
    if (event.kind === "step") trainer.stop({ evaluate: false });
    else told.push(event.kind);
  }
  const { step } = trainer;
  assertEquals(told, ["checkpoint", "end"]);
  const whole = new Set<number>();
  for await (const event of trainer.run()) {
    if (event.kind === "eval") whole.add(event.step);
  }
  assertEquals([...whole], [4, 8, 12].filter((due) => due >= step));
  // One that stops in the usual way after a pause is evaluated.
  const next = new Trainer(model, dataset, { maxSteps: 12, evalInterval: 0 });
  for await (const _ of next.run()) next.stop({ evaluate: false });
  const kinds: string[] = [];
  for await (const { kind } of next.run()) {
    if (kind === "step") next.stop();
    kinds.push(kind);
  }
  assert(kinds.includes("eval"));
});

Deno.test("A bounded Trainer measures at most evalTokens tokens, the same ones each time", async () => {
  await using model = await createModel();
  const windows = dataset.evalBatches("val", { maxBatches: 2 });
  const expected = await model.evaluate(windows);
  const measured = async (evalTokens: number) => {
    const trainer = new Trainer(model, dataset, {
      ...{ maxSteps: 1, learningRate: 0, weightDecay: 0, evalTokens },
    });
    const events = await Array.fromAsync(trainer.run());
    return events.find((event) => event.kind === "eval")!;
  };
  for (let time = 0; time < 2; time++) {
    const { valLoss, tokens, ofTokens } = await measured(30);
    assertEquals([valLoss, tokens, ofTokens], [expected, 24, 37]);
  }
  const all = await model.evaluate(dataset.evalBatches("val"));
  for (const bound of [37, 1e9, Infinity]) {
    const { valLoss, tokens } = await measured(bound);
    assertEquals([valLoss, tokens], [all, 37]);
  }
  assertEquals((await measured(1)).tokens, 12); // one batch at least
});

Deno.test("A bounded Trainer ends at its deadline, with a checkpoint and as much of an evaluation as fits", async () => {
  await using model = await createModel();
  const shape = { blockSize: 6, batchSize: 2 };
  const data = new Dataset(new Uint8Array(2e7), shape);
  const trainer = new Trainer(model, data, {
    ...{ maxSteps: 1e9, evalInterval: 3, evalTokens: Infinity },
  });
  const begun = performance.now();
  const told: TrainEvent[] = [];
  for await (const event of trainer.run({ deadline: begun + 1500 })) {
    told.push(event);
  }
  const seconds = (performance.now() - begun) / 1000;
  assert(seconds < 1.5 + 1.5, `took ${seconds} s`);
  const evaluated = told.find(({ kind }) => kind === "eval");
  assert(evaluated?.kind === "eval");
  assert(evaluated.tokens < evaluated.ofTokens);
  const end = told.at(-1)!;
  assert(end.kind === "end" && end.reason === "stopped");
  assert(told.some(({ kind }) => kind === "checkpoint"));
});

Deno.test("A bounded Trainer measures 2^18 tokens of a long validation split by default", () => {
  const long = new Dataset(new Uint8Array(4e6), {
    blockSize: 64,
    batchSize: 16,
  });
  const batches = (evalTokens?: number) => {
    const model = {} as Model; // nothing runs
    return new SplitLossMeter(model, long, {
      evalTokens,
      trainEvalBatches: 1,
    })
      .expectedMs(1) - 1;
  };
  assertEquals(batches() * 64 * 16, 2 ** 18);
  assertEquals(batches(Infinity), Math.ceil(399_999 / 64 / 16));
  const shakespeare = { length: 111_540 };
  const shape = { blockSize: 64, batchSize: 16 };
  assertEquals(
    batchesWithin(EVAL_TOKENS, shakespeare, shape),
    batchesWithin(Infinity, shakespeare, shape),
  );
});

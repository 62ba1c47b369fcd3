/** Training on several threads: a model large enough that they really share its steps. */

import { assertEquals } from "@std/assert";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import type { TrainConfig } from "../../lib/config/train.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { Model } from "../../lib/model/model.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { randomIds } from "../../lib/checks/variants.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import { blasTest } from "./blas_libraries.ts";

const blockSize = 64;
const vocabSize = 65;

/** The weights after a few steps, with every loss on the way and the evaluation at the end. */
async function outcome(
  threads: number,
  optimizer: TrainConfig["optimizer"],
  blas = "off",
) {
  await using backend = await openWasm({ threads, blas });
  await using model = await Model.create({
    ...{ vocabSize, blockSize, nLayer: 2, nHead: 4, nKvHead: 2, nEmbd: 128 },
    ...{ position: "rope", dropout: 0.1 },
  }, { backend, seed: 3 });
  const text = randomIds(4000, { vocabSize });
  const dataset = new Dataset(text, { blockSize, batchSize: 6, seed: 5 });
  const losses: number[] = [];
  for await (
    const event of new Trainer(model, dataset, { maxSteps: 4, optimizer }).run()
  ) {
    if (event.kind === "step") losses.push(event.loss);
    if (event.kind === "eval") losses.push(event.trainLoss, event.valLoss);
  }
  const params = await internalsOf(model).stores.get("params")!.read();
  return { losses, params };
}

for (const optimizer of ["adamw", "muon"] as const) {
  Deno.test(`wasm: training gives the same bits on 1, 2 and 4 threads: ${optimizer}`, async () => {
    const alone = await outcome(1, optimizer);
    assertEquals(alone.losses.length, 6);
    assertEquals(await outcome(2, optimizer), alone);
    assertEquals(await outcome(4, optimizer), alone);
  });

  blasTest(
    `wasm, BLAS: training gives the same bits on 1, 2, 3 and 8 threads: ${optimizer}`,
    async () => {
      const alone = await outcome(1, optimizer, "auto");
      assertEquals(alone.losses.length, 6);
      for (const threads of [2, 3, 8]) {
        assertEquals(await outcome(threads, optimizer, "auto"), alone);
      }
    },
  );
}

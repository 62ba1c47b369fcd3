/** Where dropout acts in a network, and that no two masks are the same. What it does to numbers is in `model_training.ts`. */

import { assertEquals } from "@std/assert";
import type { ModelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import type { Dispatch, Plan } from "../../lib/graph/plan.ts";
import { Model } from "../../lib/model/model.ts";
import { METRIC_SLOTS } from "../../lib/train/optimizer.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { cachedPlan, evalPlan } from "../../lib/model/plans.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";
import { randomIds, variant } from "../../lib/checks/variants.ts";

const shape = { B: 2, T: 6 };

/** The sites at which dispatches drop something. */
function sites(dispatches: readonly Dispatch[]): number[] {
  return dispatches.map((dispatch) => {
    if (dispatch.kernel === "dropout") return dispatch.dims.site;
    if ("dropout" in dispatch.dims && dispatch.dims.dropout > 0) {
      return dispatch.dims.site;
    }
    return -1;
  }).filter((site) => site >= 0);
}

/** The dispatches of the train plan before and after the loss is known. */
function passes(
  config: ModelConfig,
): [forward: Dispatch[], backward: Dispatch[]] {
  const { dispatches } = trainPlan(config, trainConfig(), shape);
  const loss = dispatches.findIndex(({ kernel }) => kernel === "lossSum");
  return [dispatches.slice(0, loss), dispatches.slice(loss)];
}

Deno.test("Dropout acts after the embedding, in attention and after both projections, each with its own masks", () => {
  const { config } = variant("dropout"); // two layers
  const [forward, backward] = passes(config);
  const found = sites(forward);
  assertEquals(found.length, 1 + 2 * 3);
  assertEquals(new Set(found).size, found.length);
  assertEquals(new Set(sites(backward)), new Set(found));
});

Deno.test("Dropout is absent from evaluation and generation, and at rate 0", () => {
  const { config } = variant("dropout");
  const plans: Plan[] = [
    evalPlan(config, shape),
    cachedPlan(config, shape),
    cachedPlan(config, { B: 1, T: 1 }),
    trainPlan(variant("the defaults").config, trainConfig(), shape),
  ];
  for (const plan of plans) assertEquals(sites(plan.dispatches), []);
});

Deno.test("Dropout's counter is different for every micro-batch of every step", async () => {
  const keys: number[][] = [];
  await using backend = openFaulty({
    write: (name, data) => {
      if (name === "key") keys.push(Array.from(data));
      return data;
    },
  });
  const { config } = variant("dropout");
  await using model = await Model.create(config, { backend });
  const text = randomIds(100, { vocabSize: config.vocabSize });
  const dataset = new Dataset(text, { blockSize: 6, batchSize: 1 });
  const options = { maxSteps: METRIC_SLOTS + 2, gradAccumulation: 3, seed: 8 };
  const steps = new Trainer(model, dataset, options).run();
  for await (const { kind } of steps) if (kind === "checkpoint") break;
  const counters = keys.map(([, counter]) => counter);
  assertEquals(new Set(counters).size, 3 * (METRIC_SLOTS + 2));
  keys.forEach(([seed, , slot], i) => {
    assertEquals([seed, slot], [8, Math.floor(i / 3) % METRIC_SLOTS]);
  });
});

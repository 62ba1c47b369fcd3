/** What is said of memory before it is taken, on a backend: that it is what is taken. */

import { assertEquals, assertGreater } from "@std/assert";
import type { Backend, Stores } from "../../lib/backends/backend.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import { trainingPlans } from "../../lib/train/memory.ts";
import { Model } from "../../lib/model/model.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { trainConfig, type TrainOptions } from "../../lib/config/train.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { cachedPlan, evalPlan } from "../../lib/model/plans.ts";
import { randomIds, variant } from "../../lib/checks/variants.ts";
import { type Bench, benchTest } from "./model_bench.ts";

/** Bytes in use. The CPU engine does not count its scratch memory among those allocated, but it is not free. */
function used({ room, allocatedBytes }: Backend): number {
  return room === undefined ? allocatedBytes : -room;
}

const cases: readonly (readonly [string, TrainOptions])[] = [
  ["the defaults", { optimizer: "adamw" }],
  ["Llama", { optimizer: "muon" }],
  ["head tied", { optimizer: "sgd" }],
];

/** Registers the tests on a backend. */
export function registerMemory(bench: Bench): void {
  for (const [name, options] of cases) {
    benchTest(
      bench,
      `A backend measures what it allocates: ${name}, ${options.optimizer}`,
      async (backend) => {
        const { config } = variant(name);
        const { blockSize: T } = config;
        const plans = [
          trainPlan(config, trainConfig(options), { B: 3, T }),
          evalPlan(config, { B: 3, T }),
          evalPlan(config, { B: 1, T: 1 }),
          cachedPlan(config, { B: 1, T }),
          cachedPlan(config, { B: 1, T: 1 }),
        ];
        const before = used(backend);
        const whole = backend.measure(plans);
        const stores: Stores = new Map();
        const programs = [];
        for (const [index, plan] of plans.entries()) {
          const left = backend.measure(plans.slice(index), stores);
          assertEquals(used(backend) - before + left, whole, plan.name);
          const own = backend.measure([plan], stores);
          const at = used(backend);
          programs.push(await backend.compile(plan, stores));
          assertEquals(used(backend) - at, own, plan.name);
        }
        assertEquals(used(backend) - before, whole);
        const missing = programs.map(({ plan }) => plan);
        const most = used(backend);
        for (const program of programs) {
          assertGreater(program.bytes, 0);
          program.destroy();
        }
        // What is shared, and no store, is free too.
        assertEquals(most - used(backend), backend.measure(missing, stores));
        for (const store of stores.values()) store.destroy();
        assertEquals(backend.allocatedBytes, 0);
      },
    );
  }

  for (const name of ["position rope", "mask none"]) {
    benchTest(
      bench,
      `Training takes the memory that was measured, and no more: ${name}`,
      async (backend) => {
        const { config } = variant(name);
        const { blockSize } = config;
        await using model = await Model.create(config, { backend });
        const before = used(backend);
        const batchSize = 3;
        const dataset = new Dataset(randomIds(200, config), {
          blockSize,
          batchSize,
        });
        const chars = "abcdefghijklmnop".slice(0, config.vocabSize);
        // Longer than the model's context: the window slides.
        const sample = { prompt: "abc", maxNewTokens: 2 * blockSize };
        const trainer = new Trainer(model, dataset, {
          maxSteps: 4,
          evalInterval: 2,
          sampleInterval: 2,
          tokenizer: Tokenizer.chars(chars),
          sample,
        });
        assertEquals(used(backend), before, "nothing is taken before");
        const plans = trainingPlans({
          ...{ model: config, train: trainer.config, blockSize },
          sample: { ...sample, promptLength: 3 },
        });
        const whole = backend.measure(plans, internalsOf(model).stores);
        // Programs of samples come and go: the device is looked at after each.
        let most = -Infinity;
        const compiled: Plan[] = [];
        const compile = backend.compile.bind(backend);
        backend.compile = async (plan, stores) => {
          const program = await compile(plan, stores);
          compiled.push(plan);
          most = Math.max(most, used(backend));
          return program;
        };
        const events = await Array.fromAsync(trainer.run());
        const samples = events.filter(({ kind }) => kind === "sample");
        assertEquals(samples.length, 2);
        assertEquals(kinds(compiled), kinds(plans));
        // Reads of a GPU go through buffers that it keeps for other reads.
        if (backend.kind !== "webgpu") assertEquals(most - before, whole);
      },
    );
  }
}

/** Name and shape of plans, each once. */
function kinds(plans: readonly Plan[]): string[] {
  const all = plans.map(({ name, buffers }) => {
    const tokens = buffers.find(({ name }) => name === "tokens")!;
    return `${name} of ${tokens.length} tokens`;
  });
  return [...new Set(all)].sort();
}

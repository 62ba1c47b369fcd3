/** What is said of memory before it is taken, on a backend: that it is what is taken. */

import { assertEquals, assertGreater } from "@std/assert";
import type { Backend, Stores } from "../lib/backends/backend.ts";
import { trainConfig, type TrainOptions } from "../lib/config.ts";
import { cachedPlan, evalPlan, trainPlan } from "../lib/plans.ts";
import { variant } from "../lib/checks/variants.ts";
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
}

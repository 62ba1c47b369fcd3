/** Training that goes wrong: what a number that is not finite does, and what is said of it. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Dataset } from "../../lib/text/dataset.ts";
import { Model } from "../../lib/model/model.ts";
import { NonFiniteError } from "../../lib/train/metrics.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { type Bench, benchTest } from "./model_bench.ts";
import {
  dataset,
  lossesOf,
  stateOf,
  T,
  training,
  V,
} from "./model_training.ts";
import { variant } from "../../lib/checks/variants.ts";
import { internalsOf } from "../../lib/model/internals.ts";

/** Registers the tests on a backend. */
export function registerFailures(bench: Bench): void {
  benchTest(
    bench,
    "a loss that is not finite stops training and leaves the weights alone",
    async (backend) => {
      await using model = await Model.create(variant("the defaults").config, {
        backend,
      });
      const { offset } = internalsOf(model).layout.entries.find(({ name }) =>
        name === "lm_head.bias"
      )!;
      internalsOf(model).stores.get("params")!.write([NaN], offset);
      const before = await stateOf(model);
      const trainer = new Trainer(model, dataset(), training());
      const error = await assertRejects(
        () => lossesOf(trainer),
        NonFiniteError,
      );
      assertEquals(error.step, 1);
      assertMatch(error.message, /first .* was the parameter lm_head\.bias$/);
      const { params, m, v } = await stateOf(model);
      assertEquals(params, before["params"]);
      for (const moment of [m!, v!]) assert(moment.every((x) => x === 0));
    },
  );

  benchTest(
    bench,
    "the first operation that overflows is named",
    async (backend) => {
      const { config } = variant("the defaults");
      await using model = await Model.create(config, { backend });
      const huge = backend.kind === "reference" ? 1e308 : 3e38;
      const { offset, length } = internalsOf(model).layout.entries.find((
        { name },
      ) => name === "h.1.mlp.c_fc.weight")!;
      const params = internalsOf(model).stores.get("params")!;
      params.write(new Float64Array(length).fill(huge), offset);
      const trainer = new Trainer(model, dataset(), training());
      const error = await assertRejects(
        () => lossesOf(trainer),
        NonFiniteError,
      );
      assertMatch(error.message, /was matmul nt in h\.1\.mlp\.c_fc$/);
      const grads = await internalsOf(model).stores.get("grads")!.read();
      assert(grads.every((x) => x === 0), "gradients are left behind");
    },
  );

  benchTest(
    bench,
    "weights that are not finite are not saved",
    async (backend) => {
      const config = variant("the defaults").config;
      await using model = await Model.create(config, { backend });
      const trainer = new Trainer(model, dataset(), training());
      await trainer.save();
      internalsOf(model).stores.get("params")!.write([Infinity]);
      await assertRejects(() => trainer.save(), RangeError, "wte.weight");
    },
  );

  for (const optimizer of ["adamw", "muon"] as const) {
    benchTest(
      bench,
      `one step that is not finite leaves the weights as they were before it, whatever is queued after it: ${optimizer}`,
      async (backend) => {
        // A token that stands at one place of the text only, and whose embedding is not a number.
        const rare = V - 1;
        const text = Int32Array.from(
          { length: 100 },
          (_, i) => i === 50 ? rare : (i * 3) % (V - 1),
        );
        const data = () =>
          new Dataset(text, { blockSize: T, batchSize: 1, seed: 5 });
        const clean = (step: number) =>
          !data().batch(step).tokens.includes(rare);
        let bad = 0;
        while (clean(bad)) bad++;
        assert(bad > 0 && clean(bad + 1) && clean(bad + 2), `bad step ${bad}`);
        const run = async (maxSteps: number) => {
          await using model = await Model.create(
            variant("the defaults").config,
            { backend, seed: 3 },
          );
          const { offset } = internalsOf(model).layout.entries.find((
            { name },
          ) => name === "wte.weight")!;
          internalsOf(model).stores.get("params")!.write(
            [NaN],
            offset + rare * model.config.nEmbd,
          );
          const trainer = new Trainer(
            model,
            data(),
            training({ optimizer }),
          );
          let error: unknown;
          let told = 0;
          try {
            for await (const { kind } of trainer.run()) {
              if (kind === "step") told++;
              // Such a model cannot be saved, so the end is not waited for.
              if (told === maxSteps) break;
            }
          } catch (reason) {
            error = reason;
          }
          return {
            error,
            told,
            step: trainer.step,
            state: await stateOf(model),
          };
        };
        const broken = await run(50);
        assert(broken.error instanceof NonFiniteError);
        assertEquals(broken.error.step, bad + 1);
        assertEquals([broken.told, broken.step], [bad, bad]);
        const whole = await run(bad);
        assertEquals(broken.state["params"], whole.state["params"]);
        assertEquals(broken.state["m"], whole.state["m"]);
      },
    );
  }
}

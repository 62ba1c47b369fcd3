/** Training in float16, on backends that have it. */

import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import { Model } from "../../lib/model/model.ts";
import { NonFiniteError } from "../../lib/train/metrics.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { variant } from "../../lib/checks/variants.ts";
import { type Bench, benchTest } from "./model_bench.ts";
import { dataset, lossesOf, stateOf, training } from "./model_training.ts";

/** Registers the tests on a backend. */
export function registerPrecision(bench: Bench): void {
  for (const name of ["the defaults", "all at once", "Qwen 3", "Llama"]) {
    benchTest(
      bench,
      `50 steps in float16 are repeatable and near those in float32: ${name}`,
      async (backend) => {
        const run = async (precision: "f32" | "f16") => {
          const { config } = variant(name);
          await using model = await Model.create(config, { backend, seed: 1 });
          const options = training({ precision });
          return await lossesOf(new Trainer(model, dataset(), options));
        };
        const [plain, half] = [await run("f32"), await run("f16")];
        assertEquals(await run("f16"), half);
        assertNotEquals(half, plain);
        const difference = half.map((loss, i) => Math.abs(loss - plain[i]!));
        // The first step differs by float16's rounding alone, 2^-11 of each activation.
        assertLess(difference[0]!, 2 ** -11);
        assertLess(Math.max(...difference), 0.05);
      },
    );
  }

  benchTest(
    bench,
    "stopped and resumed in float16 gives the bits of an uninterrupted run, and keeps the precision",
    async (backend) => {
      const { config } = variant("all at once");
      const options = training({ precision: "f16", checkpointInterval: 20 });
      await using whole = await Model.create(config, { backend, seed: 3 });
      let saved: Uint8Array | undefined;
      for await (const event of new Trainer(whole, dataset(), options).run()) {
        if (event.kind === "checkpoint" && event.step === 20) {
          saved = event.bytes;
        }
      }
      const checkpoint = decodeCheckpoint(saved!);
      const { precision } = checkpoint.training!.config;
      assertEquals(precision, "f16");
      await using resumed = await Model.load(checkpoint, { backend });
      const trainer = new Trainer(
        resumed,
        dataset(),
        checkpoint.training!.config,
      );
      await trainer.restore(checkpoint);
      assertEquals((await lossesOf(trainer)).length, 30);
      assertEquals(await stateOf(resumed), await stateOf(whole));
    },
  );

  benchTest(
    bench,
    "an activation beyond 65504 stops a training in float16, and is named",
    async (backend) => {
      const { config } = variant("the defaults");
      await using model = await Model.create(config, { backend });
      const { stores, layout } = internalsOf(model);
      const { offset, length } = layout.entries.find(({ name }) =>
        name === "h.1.attn.c_attn.weight"
      )!;
      const large = Float64Array.from({ length }, (_, i) => i % 2 ? 1e5 : -1e5);
      stores.get("params")!.write(large, offset);
      const before = await stateOf(model);
      const trainer = new Trainer(
        model,
        dataset(),
        training({ precision: "f16" }),
      );
      const error = await assertRejects(
        () => lossesOf(trainer),
        NonFiniteError,
      );
      assertMatch(error.message, /was matmul nt in h\.1\.attn\.c_attn$/);
      assertEquals((await stateOf(model))["params"], before["params"]);
      // Float32 holds it.
      const plain = new Trainer(model, dataset(), training({ maxSteps: 1 }));
      assert((await lossesOf(plain)).every(Number.isFinite));
    },
  );
}

/** A running batch, whose rows move from buffer to buffer, on WebGPU. */

import { assertEquals } from "@std/assert";
import { Model, Sampler } from "../../mod.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";
import { gpuTest } from "./adapter.ts";

gpuTest(
  "RunningBatch gives each text the tokens that it has alone: webgpu",
  async () => {
    const sizes = {
      vocabSize: 17,
      blockSize: 24,
      nLayer: 2,
      nHead: 2,
      nEmbd: 16,
    };
    await using model = await Model.create(sizes, {
      device: "webgpu",
      seed: 3,
    });
    await makeGeneric(model);
    const prompts = [1, 17, 33, 20, 40].map((length) =>
      Array.from({ length }, (_, i) => (i * 5 + length) % 17)
    );
    const options = (seed: number) => ({
      maxNewTokens: 12,
      sampler: new Sampler({ seed, temperature: 0.9 }),
    });
    const batch = new RunningBatch(model, { rows: 4 });
    const texts = await Promise.all(
      prompts.map((prompt, seed) =>
        Array.fromAsync(batch.generate(prompt, options(seed)))
      ),
    );
    batch.destroy();
    for (const [seed, prompt] of prompts.entries()) {
      const alone = model.generate(prompt, options(seed));
      assertEquals(texts[seed], await Array.fromAsync(alone));
    }
  },
);

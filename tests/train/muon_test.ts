/** Muon's whole update against its own definition in `matrices.ts`. What it is on every backend is in `model_muon.ts`. */

import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { ModelOptions } from "../../lib/config/model.ts";
import { type TrainConfig, trainConfig } from "../../lib/config/train.ts";
import { Model } from "../../lib/model/model.ts";
import { scheduleAt } from "../../lib/train/optimizer.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import {
  blend,
  type Matrix,
  matrixOf,
  norm,
  orthogonal,
} from "../fixtures/matrices.ts";
import { randomIds } from "../../lib/checks/variants.ts";
import { internalsOf } from "../../lib/model/internals.ts";

const options: ModelOptions = {
  ...{ vocabSize: 11, blockSize: 6, nLayer: 2, nHead: 2, nEmbd: 8 },
  nHidden: 20,
  norm: "rmsnorm",
  init: "torch",
};

/** Parameters and gradients, by name, around the update of each of some steps. */
async function* steps(train: TrainConfig) {
  await using model = await Model.create(options, { device: "reference" });
  const { B, T } = { B: 3, T: 6 };
  const program = await internalsOf(model).compile(
    trainPlan(model.config, train, { B, T }),
  );
  const read = async (store: string) => {
    const flat = await internalsOf(model).stores.get(store)!.read();
    return new Map(
      internalsOf(model).layout.entries.map(({ name, offset, length }) => [
        name,
        flat.slice(offset, offset + length) as Float64Array,
      ]),
    );
  };
  for (let step = 0; step < train.maxSteps; step++) {
    const ids = randomIds(B * T + 1, { vocabSize: 11, seed: step + 1 });
    program.buffer("loss").write([0]);
    program.buffer("tokens").write(ids.slice(0, -1));
    program.buffer("targets").write(ids.slice(1));
    program.buffer("key").write([1, step, step, 0]);
    program.buffer("schedule").write(scheduleAt(train, step));
    program.run(["gradient"]);
    const [before, gradients] = [await read("params"), await read("grads")];
    program.run(["update"]);
    const [after, cleared] = [await read("params"), await read("grads")];
    for (const gradient of cleared.values()) {
      assertEquals(gradient.every((g) => g === 0), true);
    }
    yield { step, before, gradients, after };
  }
}

Deno.test("Muon updates the blocks' matrices by its definition, AdamW the rest", async () => {
  const shared = trainConfig({
    ...{ maxSteps: 3, learningRate: 3e-3, warmupSteps: 4, gradClip: 0.5 },
    ...{ weightDecay: 0.2, muonLearningRate: 0.05, momentum: 0.9 },
  });
  const momenta = new Map<string, Matrix>();
  const muonRun = steps({ ...shared, optimizer: "muon" });
  for await (const { step, before, gradients, after } of muonRun) {
    const all = [...gradients.values()].flatMap((values) => [...values]);
    const clip = Math.min(1, 0.5 / (norm([all]) + 1e-6));
    const rate = 0.05 * (step + 1) / 5;
    for (const [name, weights] of before) {
      if (!/^h\.\d\.(attn|mlp)\..*weight$/.test(name)) continue;
      const columns = name.endsWith("mlp.c_proj.weight") ? 20 : 8;
      const g = matrixOf(gradients.get(name)!.map((x) => clip * x), columns);
      const m = blend(0.9, momenta.get(name) ?? blend(0, g, 0, g), 1, g);
      momenta.set(name, m);
      const direction = orthogonal(blend(1, g, 0.9, m));
      const scale = Math.sqrt(Math.max(1, g.length / columns));
      const moved = after.get(name)!;
      direction.flat().forEach((d, i) => {
        const expected = weights[i]! - rate * (0.2 * weights[i]! + scale * d);
        assertAlmostEquals(moved[i]!, expected, 1e-9, `${name}[${i}]`);
      });
    }
  }
  assertEquals(momenta.size, 8, "four matrices in each of two blocks");

  // In the first step all else is where AdamW alone puts it.
  const [muonStep] = await Array.fromAsync(
    steps({ ...shared, maxSteps: 1, optimizer: "muon" }),
  );
  const [adamwStep] = await Array.fromAsync(
    steps({ ...shared, maxSteps: 1, optimizer: "adamw" }),
  );
  for (const [name, values] of muonStep!.after) {
    const same = values.join() === adamwStep!.after.get(name)!.join();
    assertEquals(same, !momenta.has(name), name);
  }
});

Deno.test("SGD follows its momentum and applies weight decay separately", async () => {
  const train = trainConfig({
    ...{ maxSteps: 3, learningRate: 0.1, gradClip: 0, momentum: 0.8 },
    ...{ optimizer: "sgd", weightDecay: 0.2, decay: "matrices" },
  });
  const momenta = new Map<string, Float64Array>();
  for await (const { before, gradients, after } of steps(train)) {
    for (const [name, weights] of before) {
      const last = momenta.get(name);
      const m = gradients.get(name)!.map((g, i) => g + 0.8 * (last?.[i] ?? 0));
      momenta.set(name, m);
      const decay = /wte|c_|head\.weight/.test(name) && !/bias/.test(name)
        ? 0.2
        : 0;
      weights.forEach((w, i) => {
        const expected = w - 0.1 * (decay * w + m[i]!);
        assertAlmostEquals(after.get(name)![i]!, expected, 1e-12, name);
      });
    }
  }
});

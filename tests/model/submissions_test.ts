/** Long runs on a GPU: no submission may take so long that a driver's watchdog resets the device. */

import { assert, assertEquals } from "@std/assert";
import {
  evaluationWork,
  HostSampler,
  trainingWork,
} from "../../lib/checks/device_choice.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { attentionMaps } from "../../lib/model/attention_maps.ts";
import { Model } from "../../lib/model/model.ts";
import { Sampler } from "../../lib/text/sampler.ts";
import { openSlowGpu } from "../fixtures/slow_gpu.ts";

/** A forward pass of one window has three parts, of 2^31 floating-point operations at most. */
const options = {
  ...{ vocabSize: 17, blockSize: 2048, nLayer: 2, nHead: 1, nEmbd: 128 },
};
const T = options.blockSize;
const tokens = new Int32Array(T).fill(3);
const batch = { B: 1, T, tokens, targets: tokens, count: T };

const MS_PER_PART = 200;

/** Runs `work` on a GPU that takes 200 ms for a part; returns the milliseconds of its submissions. */
async function submissionsOf(
  work: (model: Model) => Promise<unknown>,
): Promise<number[]> {
  const { backend, submissions } = openSlowGpu(MS_PER_PART);
  await using _ = backend;
  await using model = await Model.create(options, { backend });
  await work(model);
  return submissions.filter((ms) => ms > 0);
}

/** Checks that work of so many parts was submitted in pieces of less than half a second. */
function assertShort(submissions: readonly number[], parts: number): void {
  assert(Math.max(...submissions) < 500, `${submissions} ms`);
  const total = submissions.reduce((sum, ms) => sum + ms, 0);
  assertEquals(total, parts * MS_PER_PART, `${submissions} ms`);
}

Deno.test("A long prompt is read in short submissions", async () => {
  const text = (maxNewTokens: number, sampler: Sampler) =>
    submissionsOf((model) =>
      Array.fromAsync(model.generate(tokens, { maxNewTokens, sampler }))
    );
  for (const sampler of [new Sampler(), new HostSampler()]) {
    assertShort(await text(1, sampler), 3);
    // The second token lets the window slide: half of it is encoded again.
    assertShort(await text(2, sampler), 5);
  }
});

Deno.test("Batches of an evaluation run in short submissions", async () => {
  const submissions = await submissionsOf((model) =>
    model.evaluate([batch, batch, batch])
  );
  assertShort(submissions, 9);
});

Deno.test("A full pass and attention maps run in short submissions", async () => {
  assertShort(
    await submissionsOf((model) => model.forward(tokens, { B: 1, T })),
    3,
  );
  const first = T - 1;
  assertShort(
    await submissionsOf((model) => attentionMaps(model, tokens, { first })),
    3,
  );
});

Deno.test("The choice of a device measures long steps in short submissions", async () => {
  const { backend, submissions } = openSlowGpu(MS_PER_PART);
  await using _ = backend;
  const model = modelConfig(options);
  const train = trainConfig({ batchSize: 1 });
  const ms = await trainingWork({ model, train }).time(backend);
  const parts = submissions.filter((ms) => ms > 0);
  assert(parts.length >= 16, `${parts} ms`);
  assert(Math.max(...parts) < 500, `${parts} ms`);
  assert(ms >= 8 * MS_PER_PART, `${ms} ms`);
});

Deno.test("The choice of a device measures long evaluations in short submissions", async () => {
  await using model = await Model.create(options, { device: "reference" });
  const checkpoint = decodeCheckpoint(await model.save());
  const { backend, submissions } = openSlowGpu(MS_PER_PART);
  await using _ = backend;
  await evaluationWork(checkpoint, 1).time(backend);
  assertShort(submissions.filter((ms) => ms > 0), 6);
});

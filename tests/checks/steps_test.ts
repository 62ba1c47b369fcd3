/** That training steps at full size are compared with another engine: what a wrong device is refused for. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { openBackend } from "../../lib/backends/open.ts";
import type { Mistake } from "../../lib/checks/mistakes.ts";
import { stepChecks } from "../../lib/checks/steps.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import type { Dispatch } from "../../lib/graph/plan.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";

/** A training with AdamW whose sizes all differ. */
const small = {
  model: modelConfig({
    ...{ vocabSize: 30, blockSize: 12, nLayer: 1, nHead: 2, nEmbd: 16 },
    ...{ position: "rope", nHidden: 40 },
  }),
  train: trainConfig({ batchSize: 3, learningRate: 1e-2, warmupSteps: 0 }),
};

/** Returns the checks of steps on a backend with a mistake: status and finding of each. */
async function found(
  mistake: Mistake,
  training = small,
): Promise<[status: string, found: string][]> {
  await using backend = openFaulty(mistake);
  const group = stepChecks(backend, training, { name: "small" });
  const verdicts = await Array.fromAsync(group.run());
  assertEquals(verdicts.map(({ check }) => check), ["one step", "10 steps"]);
  return verdicts.map(({ status, found }) => [status, found]);
}

/** Returns a mistake that changes dims of the dispatches of a kernel, or of those that `where` names. */
function changing(
  kernel: string,
  dims: object,
  where: (dims: Record<string, unknown>) => boolean = () => true,
): Mistake {
  return {
    dispatch: (dispatch) =>
      dispatch.kernel === kernel && where({ ...dispatch.dims })
        ? { ...dispatch, dims: { ...dispatch.dims, ...dims } } as Dispatch
        : dispatch,
  };
}

for (const optimizer of ["adamw", "sgd", "muon"] as const) {
  Deno.test(`Steps of ${optimizer} on a right device agree with the CPU engine`, async () => {
    const train = trainConfig({ ...small.train, optimizer });
    for (const [status, text] of await found({}, { ...small, train })) {
      assertEquals(status, "ok", text);
      assertMatch(text, /^like the CPU engine: loss within \d/);
    }
  });
}

Deno.test("A product that is wrong at one size only is found", async () => {
  const isFirstOfMlp = (dims: Record<string, unknown>) =>
    dims.N === 40 && dims.activation === "geluTanh";
  const mistake = changing("matmul", { activation: "relu" }, isFirstOfMlp);
  for (const [status, text] of await found(mistake)) {
    assertEquals(status, "failed", text);
    assertMatch(text, /^unlike the CPU engine: /);
  }
});

Deno.test("An optimizer that is wrong though the loss is right is found, with its tensor", async () => {
  for (const dims of [{ beta2: 0.9 }, { beta1: 0.5 }, { eps: 1 }]) {
    const [one] = await found(changing("adamw", dims));
    assertEquals(one![0], "failed", `${JSON.stringify(dims)}: ${one![1]}`);
    assertMatch(one![1], /the change of \S+ differs by \d/);
  }
});

Deno.test("A write to weights that got no gradient is found", async () => {
  // Token 29 does not occur, so its row of the embedding has no gradient.
  const mistake: Mistake = {
    run: (program) => {
      if (program.plan.name !== "train") return;
      const params = program.buffer("params");
      params.write([0.5], 29 * 16 + 3);
    },
  };
  const ids = Int32Array.from({ length: 200 }, (_, i) => i * 7 % 29);
  const dataset = new Dataset(ids, { blockSize: 12, batchSize: 3 });
  const model = modelConfig({ ...small.model, headBias: false });
  const train = trainConfig({ ...small.train, weightDecay: 0 });
  const training = { model, train, dataset };
  assertEquals((await found({}, training)).map(([status]) => status), [
    "ok",
    "ok",
  ]);
  const [[status, text]] = await found(mistake, training) as [[string, string]];
  assertEquals(status, "failed");
  assertMatch(text, /: wte\S* changed where its gradient is 0/);
});

Deno.test("The CPU engine's own steps are compared with float64, if that takes no minutes", async () => {
  await using backend = await openBackend("wasm", { blas: "off", threads: 2 });
  const tiny = stepChecks(backend, presetTraining("tiny"), { name: "tiny" });
  for await (const { status, found } of tiny.run()) {
    assertEquals(status, "ok", found);
    assertMatch(found, /^like float64: /);
  }
  const large = stepChecks(backend, presetTraining("nano-gpu"), {
    name: "nano-gpu",
  });
  for await (const { status, found } of large.run()) {
    assertEquals(status, "skipped");
    assert(found.includes("float64 would take minutes"));
  }
});

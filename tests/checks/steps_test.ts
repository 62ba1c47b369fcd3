/** That training steps at full size are compared with another engine: what a wrong device is refused for. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { openBackend } from "../../lib/backends/open.ts";
import type { Mistake } from "../../lib/checks/mistakes.ts";
import { stepChecks } from "../../lib/checks/steps.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
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

/** Returns a mistake that changes what the host writes to an input, from one write on: a single step writes first, then ten. */
function writing(
  input: string,
  { from, change }: {
    readonly from: number;
    readonly change: (data: ArrayLike<number>) => number[];
  },
): Mistake {
  let writes = 0;
  return {
    write: (name, data) =>
      name === input && writes++ % 11 >= from ? change(data) : data,
  };
}

for (
  const [what, mistake, one, ten] of [
    [
      "A loss that is wrong though nothing else is",
      changing("lossSum", { scale: 1.0001 / 36 }),
      /: a loss differs by 1\.0e-4$/,
      /: a loss differs by 1\.0e-4$/,
    ],
    [
      "A gradient norm that is wrong though the loss and the update are right",
      changing("crossEntropy", { gradientScale: 1.002 / 36 }),
      /: a gradient norm differs by 2\.0e-3$/,
      /: a gradient norm differs by 2\.\de-3$/,
    ],
    [
      "An update that is wrong in the last step only",
      writing("schedule", {
        from: 10,
        change: (data) => [1.5 * data[0]!, data[1]!, data[2]!],
      }),
      /^like /,
      /: the change of \S+ differs by [3-9]\.\de-2 of its size$/,
    ],
    [
      "A loss that is wrong in the last step only",
      writing("targets", {
        from: 10,
        change: (data) => Array.from(data, (id) => (id + 1) % 30),
      }),
      /^like /,
      /: a loss differs by /,
    ],
  ] as const
) {
  Deno.test(`${what} is found`, async () => {
    const training = {
      ...small,
      train: trainConfig({ ...small.train, gradClip: 0, eps: 1e-12 }),
    };
    const [[, first], [, second]] = await found(mistake, training) as [
      [string, string],
      [string, string],
    ];
    assertMatch(first, one);
    assertMatch(second, ten);
  });
}

Deno.test("A write to weights that got no gradient is found", async () => {
  // Token 29 does not occur, so its row of the embedding has no gradient.
  let value = 0.5;
  const mistake: Mistake = {
    run: (program) => {
      if (program.plan.name !== "train") return;
      const params = program.buffer("params");
      params.write([value], 29 * 16 + 3);
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
  value = NaN;
  for (const optimizer of ["adamw", "sgd"] as const) {
    const other = { ...training, train: trainConfig({ ...train, optimizer }) };
    for (const [status, text] of await found(mistake, other)) {
      assertEquals(status, "failed", text);
    }
  }
});

for (const optimizer of ["adamw", "muon"] as const) {
  // The softmax of one score is 1, whatever queries and keys are.
  const model = modelConfig({
    ...{ vocabSize: 30, blockSize: 1, nLayer: 2, nHead: 2, nEmbd: 96 },
    ...{ position: "rope", qkNorm: true, qkNormGain: true, nHidden: 40 },
  });
  const train = trainConfig({ batchSize: 8, warmupSteps: 0, optimizer });

  Deno.test(`Steps of ${optimizer} agree where gradients are nothing but rounding`, async () => {
    for (const [status, text] of await found({}, { model, train })) {
      assertEquals(status, "ok", text);
    }
  });

  Deno.test(`Steps of ${optimizer} are found wrong where gradients should be nothing but rounding`, async () => {
    const gain = parameterLayout(model).entries
      .find(({ name }) => name === "h.0.attn.q_norm.weight")!;
    // A weight that is far off, and a gradient that moves it no further than others.
    for (
      const values of [{ params: 0.5 }, { m: 0.01, v: 1 }]
    ) {
      const written: Mistake = {
        run: (program) => {
          if (program.plan.name !== "train") return;
          for (const [store, value] of Object.entries(values)) {
            program.buffer(store).write([value], gain.offset);
          }
        },
      };
      const [one] = await found(written, { model, train });
      assertEquals(one![0], "failed", `${JSON.stringify(values)}: ${one![1]}`);
      assertMatch(one![1], /h\.0\.attn\.q_norm\.weight/);
    }
  });
}

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

/** The tensors that a training step of precision `f16` stores as float16, and the memory that they take. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { operandShapes } from "../../kernels/vocabulary.ts";
import { checkPlan } from "../../lib/backends/checks.ts";
import { openReference } from "../../lib/backends/reference.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import { type ModelConfig, modelConfig } from "../../lib/config/model.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { formatPlan } from "../../lib/graph/compile.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { randomIds, variants } from "../../lib/checks/variants.ts";

function planOf(
  config: ModelConfig,
  precision: "f32" | "f16",
  options: { mostLogits?: number } = {},
): Plan {
  const shape = { B: 2, T: config.blockSize, ...options };
  return trainPlan(config, trainConfig({ precision }), shape);
}

/** Returns the operands of all dispatches as `kernel.operand`, with the dispatch's position, by whether they are float16. */
function operandsIn(plan: Plan) {
  return plan.dispatches.flatMap((dispatch, at) => {
    const shapes = operandShapes(dispatch.kernel, dispatch.dims as never);
    const named = (side: "outputs" | "inputs") =>
      dispatch[side].map(({ dtype }, i) => ({
        ...{ at, side, half: dtype === "f16" },
        name: `${dispatch.kernel}.${shapes[side][i]!.name}`,
      }));
    return [...named("outputs"), ...named("inputs")];
  });
}

const wide = { vocabSize: 32, blockSize: 8, nLayer: 2, nHead: 2, nEmbd: 16 };

Deno.test("Activations that kernels multiply or read again are float16, and nothing else", () => {
  const config = modelConfig({
    ...{ ...wide, position: "rope", norm: "rmsnorm", mlp: "swiglu" },
    ...{ qkNorm: true, qkNormGain: true, logitSoftcap: 15 },
  });
  const operands = operandsIn(planOf(config, "f16"));
  const halves = new Set(
    operands.filter(({ half }) => half).map(({ name }) => name),
  );
  assertEquals([...halves].sort(), [
    "attention.qkv",
    "attention.y",
    "attentionBackward.qkv",
    "attentionBackward.y",
    "matmul.a", // of a linear map
    "matmul.b", // of a weight's gradient
    "matmul.y",
    "norm.y",
    "qkNorm.qkv",
    "qkNorm.y",
    "qkNormBackward.qkv",
    "rope.qkv",
    "rope.y",
    "swiglu.gate",
    "swiglu.x",
    "swiglu.y",
    "swigluBackward.gate",
    "swigluBackward.x",
  ]);
});

Deno.test("Nothing that is computed after the loss is float16, gradients above all", () => {
  for (const { name, config } of variants) {
    const even = modelConfig({ ...config, nHidden: 2 * config.nHidden });
    const operands = operandsIn(planOf(even, "f16"));
    const loss = operands.find(({ name }) => name === "crossEntropy.rowLoss")!;
    const later = operands.filter(({ at, side, half }) =>
      at >= loss.at && side === "outputs" && half
    );
    assertEquals(later, [], name);
  }
});

Deno.test("An activation and its input are float16; the residual stream and the logits are not", () => {
  for (const normPlacement of ["pre", "post"] as const) {
    const config = modelConfig({ ...wide, normPlacement, mlp: "gelu" });
    const { dispatches } = planOf(config, "f16");
    const stream = dispatches.filter(({ kernel }) =>
      ["embedding", "dropout"].includes(kernel)
    );
    for (const dispatch of dispatches) {
      const { kernel, dims, outputs } = dispatch;
      const types = outputs.map(({ dtype }) => dtype ?? "f32").join();
      if (kernel !== "matmul" || dims.form !== "nt") continue;
      if (dims.activation !== null) assertEquals(types, "f16,f16");
      if (dims.residual) {
        assertEquals(types, "f32");
        stream.push(dispatch);
      }
      if (dispatch.label === "lm_head") assertEquals(types, "f32");
    }
    assertEquals(stream.length, 1 + 2 * config.nLayer);
  }
});

Deno.test("Every plan of f16 follows the vocabulary, and that of f32 has no float16", () => {
  for (const { name, config } of variants) {
    checkPlan(planOf(config, "f16"));
    for (const { half } of operandsIn(planOf(config, "f32"))) {
      assert(!half, name);
    }
  }
});

Deno.test("Rows of an odd length stay float32", () => {
  const odd = modelConfig({ ...wide, nHead: 1, nEmbd: 15, nHidden: 60 });
  const halves = operandsIn(planOf(odd, "f16")).filter(({ half }) => half);
  assertEquals(
    new Set(halves.map(({ name }) => name)),
    new Set(["matmul.y", "matmul.z", "matmul.a", "matmul.b", "matmul.x"]),
  );
});

Deno.test("float16 takes between half and all of the memory of float32", () => {
  for (const name of Object.keys(presets) as PresetName[]) {
    const { model, train } = presetTraining(name);
    const slots = (precision: "f32" | "f16") =>
      trainPlan(model, { ...train, precision }, {
        ...{ B: train.batchSize, T: model.blockSize },
      }).buffers.filter(({ kind }) => kind === "slot")
        .reduce((sum, { length }) => sum + length, 0);
    const share = slots("f16") / slots("f32");
    assert(share > 0.5 && share < 0.85, `${name}: ${share}`);
  }
});

Deno.test("A printed plan shows the types that are not float32", () => {
  const text = formatPlan(planOf(modelConfig(wide), "f16"));
  assert(
    /norm +slot \d+\[256 f16\] slot \d+\[32\] <- slot \d/.test(text),
    text,
  );
  assert(/embedding +slot 0\[256\] <- tokens\[16 i32\]/.test(text), text);
});

Deno.test("A loss in chunks reads parts of a float16 tensor", async () => {
  const config = modelConfig({ ...wide, blockSize: 72, vocabSize: 40 });
  const lossOf = async (mostLogits?: number) => {
    const plan = planOf(config, "f16", mostLogits ? { mostLogits } : {});
    await using backend = openReference();
    const program = await backend.compile(plan, new Map());
    const params = program.buffer("params");
    const ids = randomIds(params.spec.length, { vocabSize: 2001 });
    params.write(Float64Array.from(ids, (id) => (id - 1000) / 8000));
    for (const name of ["tokens", "targets"]) {
      program.buffer(name).write(randomIds(144, { vocabSize: 40 }));
    }
    program.run(["gradient"]);
    const parts = plan.dispatches.flatMap(({ inputs }) => inputs)
      .filter(({ dtype, offset }) => dtype === "f16" && offset > 0);
    return {
      parts: parts.map(({ offset }) => offset),
      loss: (await program.buffer("loss").read())[0]!,
      norm: Math.hypot(...await program.buffer("grads").read()),
    };
  };
  const [whole, chunked] = [await lossOf(), await lossOf(1)];
  assertEquals(whole.parts, []);
  // 64 rows of 16 numbers are 512 words; each chunk's rows are read forward and backward.
  assertEquals(chunked.parts.toSorted(), [1024, 1024, 512, 512]);
  assertAlmostEquals(chunked.loss, whole.loss, 1e-12);
  assertAlmostEquals(chunked.norm, whole.norm, 1e-12);
});

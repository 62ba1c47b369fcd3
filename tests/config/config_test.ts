import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { modelConfig, modelFields } from "../../lib/config/model.ts";
import { trainConfig, trainFields } from "../../lib/config/train.ts";
import { learningRateAt, scheduleAt } from "../../lib/train/optimizer.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
import { presets } from "../../lib/config/presets.ts";

Deno.test("Every field of both configurations is named in the field tables", () => {
  assertEquals(
    Object.keys(modelConfig({ vocabSize: 2 })).toSorted(),
    [...modelFields.keys()].toSorted(),
  );
  assertEquals(
    Object.keys(trainConfig()).toSorted(),
    [...trainFields.keys()].toSorted(),
  );
});

Deno.test("modelConfig refuses impossible architectures, with the numbers", () => {
  const refused: [Parameters<typeof modelConfig>[0], string][] = [
    [
      { vocabSize: 65, nEmbd: 100, nHead: 8 },
      "nEmbd (100) is not a multiple of nHead (8)",
    ],
    [
      { vocabSize: 65, nHead: 4, nKvHead: 3 },
      "nHead (4) is not a multiple of nKvHead (3)",
    ],
    [
      { vocabSize: 65, nEmbd: 12, nHead: 4, position: "rope" },
      "nEmbd / nHead is 3",
    ],
    [
      { vocabSize: 65, headSize: 3, position: "rope-half" },
      'position "rope-half" needs an even head size, and headSize is 3',
    ],
    [{ vocabSize: 65, headSize: 0 }, "headSize (0)"],
    [{ vocabSize: 65, nEmbd: 2, nHead: 4 }, "nEmbd (2) is not a multiple of"],
    [{ vocabSize: 65, nEmbd: 5, nHead: 1, position: "sinusoidal" }, "it is 5"],
    [{ vocabSize: 0 }, "vocabSize (0)"],
    [{ vocabSize: 65, nLayer: 1.5 }, "nLayer (1.5)"],
    [{ vocabSize: 65, nLayer: 1025 }, "nLayer (1025)"],
    [
      { vocabSize: 65, position: "rope", nEmbd: 128, blockSize: 2 ** 20 },
      "blockSize (1048576) would take 33554432 angles",
    ],
    [{ vocabSize: 65, dropout: 1 }, "dropout (1)"],
    [{ vocabSize: 65, dropout: NaN }, "dropout (NaN)"],
    [{ vocabSize: 65, normEps: 0 }, "normEps (0) is not a number above 0"],
    [
      { vocabSize: 65, position: "learned", ropeScaling: 8 },
      'ropeScaling (8) needs position "rope" or "rope-half", and it is "learned"',
    ],
    [
      { vocabSize: 65, qkNormGain: true },
      "qkNormGain is on and qkNorm is off",
    ],
    [{ vocabSize: 65, ropeTheta: -1 }, "ropeTheta (-1)"],
    [
      { vocabSize: 65, attentionBias: true as unknown as "all" },
      'attentionBias ("true") is none of all, qkv, none',
    ],
    [{ vocabSize: 65, logitSoftcap: 0 }, "logitSoftcap (0)"],
    [{ vocabSize: 65, maskValue: -Infinity }, "maskValue (-Infinity)"],
    [{ vocabSize: 65, attention: false, mlp: "none" }, "its blocks are empty"],
    [{ vocabSize: 65, mlp: "selu" as "relu" }, 'mlp ("selu") is none of'],
    [{ vocabSize: 65, bias: 1 as unknown as boolean }, "bias (1)"],
    [
      { vocabSize: 65, nHeads: 2 } as { vocabSize: number },
      "nHeads is not a field",
    ],
  ];
  for (const [options, reason] of refused) {
    assertThrows(() => modelConfig(options), RangeError, reason);
  }
});

Deno.test("A head size that is given need not divide the width", () => {
  const options = { vocabSize: 7, nEmbd: 10, nHead: 4, nKvHead: 2, nLayer: 1 };
  const config = modelConfig({ ...options, headSize: 6, position: "rope" });
  assertEquals(config.headSize, 6);
  assertEquals(modelConfig({ ...options, nHead: 2 }).headSize, 5);
  const shapes = new Map(
    parameterLayout(config).entries.map(({ name, shape }) => [name, shape]),
  );
  // (4 + 2 * 2) heads of 6 numbers from 10, and 4 heads of 6 back.
  assertEquals(shapes.get("h.0.attn.c_attn.weight"), [48, 10]);
  assertEquals(shapes.get("h.0.attn.c_proj.weight"), [10, 24]);
});

Deno.test("Biases of linear maps follow those of norms unless they are given", () => {
  const biases = (options: Partial<Parameters<typeof modelConfig>[0]>) => {
    const config = modelConfig({ vocabSize: 2, ...options });
    return [config.bias, config.attentionBias, config.mlpBias];
  };
  assertEquals(biases({}), [true, "all", true]);
  assertEquals(biases({ bias: false }), [false, "none", false]);
  assertEquals(biases({ bias: false, attentionBias: "qkv" }), [
    false,
    "qkv",
    false,
  ]);
  assertEquals(biases({ mlpBias: false }), [true, "all", false]);
});

Deno.test("trainConfig refuses impossible values, with the numbers", () => {
  const refused: [Parameters<typeof trainConfig>[0], string][] = [
    [{ batchSize: 0 }, "batchSize (0)"],
    [{ learningRate: -1 }, "learningRate (-1)"],
    [{ beta2: 1 }, "beta2 (1)"],
    [{ eps: 0 }, "eps (0)"],
    [{ eps: Infinity }, "eps (Infinity)"],
    [{ eps: "1" as unknown as number }, "eps (1)"],
    [{ seed: 2 ** 32 }, "seed (4294967296)"],
    [{ schedule: "step" as "cosine" }, 'schedule ("step")'],
    [{ maxSteps: Infinity }, "maxSteps (Infinity)"],
    [{ optimizer: "adam" as "adamw" }, 'optimizer ("adam")'],
    [{ muonLearningRate: -1 }, "muonLearningRate (-1)"],
    [{ momentum: 1 }, "momentum (1)"],
    [{ optimizer: "muon", learningRate: 0 }, "follows learningRate"],
  ];
  for (const [options, reason] of refused) {
    assertThrows(() => trainConfig(options), RangeError, reason);
  }
});

Deno.test("The learning rate warms up, follows half a cosine and stays at its minimum", () => {
  const config = trainConfig({
    learningRate: 1e-3,
    minLearningRate: 1e-4,
    warmupSteps: 100,
    maxSteps: 2000,
    schedule: "cosine",
  });
  // nanoGPT: lr * (it + 1) / (warmup + 1), then min + (lr - min)(1 + cos(pi r)) / 2.
  assertAlmostEquals(learningRateAt(config, 0), 1e-3 / 101, 1e-18);
  assertAlmostEquals(learningRateAt(config, 99), 1e-3 * 100 / 101, 1e-18);
  assertEquals(learningRateAt(config, 100), 1e-3);
  assertAlmostEquals(learningRateAt(config, 1050), 5.5e-4, 1e-18);
  assertEquals(learningRateAt(config, 2000), 1e-4);
  assertEquals(learningRateAt(config, 9999), 1e-4);
  const linear = trainConfig({ ...config, schedule: "linear" });
  assertAlmostEquals(learningRateAt(linear, 575), 7.75e-4, 1e-18);
  const constant = trainConfig({ ...config, schedule: "constant" });
  assertEquals(learningRateAt(constant, 1999), 1e-3);
});

Deno.test("decaySteps ends the decay before maxSteps", () => {
  const config = trainConfig({
    maxSteps: 100,
    decaySteps: 50,
    schedule: "cosine",
  });
  // A cosine that went on would rise again, a line would fall below 0.
  for (const schedule of ["cosine", "linear"] as const) {
    for (const step of [50, 51, 75, 99, 100, 101]) {
      const rate = learningRateAt({ ...config, schedule }, step);
      assertEquals(rate, config.minLearningRate, `${schedule} at ${step}`);
    }
  }
  assertEquals(learningRateAt(config, 49) > config.minLearningRate, true);
});

Deno.test("The schedule's bias corrections count steps from 1", () => {
  const config = trainConfig({ beta1: 0.9, beta2: 0.99, learningRate: 1 });
  const [rate, correction1, correction2] = scheduleAt(config, 1);
  assertEquals(rate, 1);
  assertAlmostEquals(correction1, 0.19, 1e-15);
  assertAlmostEquals(correction2, 0.0199, 1e-15);
});

Deno.test("The presets have the parameter counts of the models they are named for", () => {
  const count = (name: keyof typeof presets, vocabSize: number) =>
    parameterLayout(modelConfig({ ...presets[name].model, vocabSize }));
  assertEquals(count("default", 65).count, 157_952);
  assertEquals(count("portable", 65).count, 159_744);
  assertEquals(count("original", 128).count, 826_240);
  // nanoGPT counts without the position table: 0.80M and 10.65M.
  const withoutPositions = (name: "nano-cpu" | "nano-gpu") => {
    const { count: all, entries } = count(name, 65);
    return all - entries.find(({ name }) => name === "wpe.weight")!.length;
  };
  assertEquals(withoutPositions("nano-cpu"), 795_904);
  assertEquals(withoutPositions("nano-gpu"), 10_646_784);
});

Deno.test("The layout puts matrices first and aligns every parameter to 256 bytes", () => {
  const layout = parameterLayout(
    modelConfig({ vocabSize: 7, nEmbd: 6, nHead: 2, nLayer: 1, nHidden: 5 }),
  );
  let end = 0;
  for (const { offset, length, shape } of layout.entries) {
    assertEquals(offset % 64, 0);
    assertEquals(offset >= end, true);
    assertEquals(offset < layout.matrices, shape.length === 2);
    end = offset + length;
  }
  assertEquals(layout.length >= end, true);
});

Deno.test("The nano presets are nanoGPT's recipes, number for number", () => {
  // config/train_shakespeare_char.py, train.py's defaults, and the README's flags for a CPU.
  for (const name of ["nano-cpu", "nano-gpu"] as const) {
    const { model, train, tokenizer } = presets[name];
    const cpu = name === "nano-cpu";
    const config = modelConfig({ ...model, vocabSize: 65 });
    assertEquals(tokenizer, "chars");
    assertEquals(
      [config.nLayer, config.nHead, config.nEmbd, config.nHidden],
      cpu ? [4, 4, 128, 512] : [6, 6, 384, 1536],
    );
    assertEquals(
      [config.blockSize, config.dropout],
      cpu ? [64, 0] : [256, 0.2],
    );
    assertEquals([config.position, config.mlp, config.norm], [
      "learned",
      "gelu",
      "layernorm",
    ]);
    assertEquals([config.bias, config.tiedHead, config.headBias], [
      false,
      true,
      false,
    ]);
    assertEquals([config.init, config.labelSmoothing], ["gpt2", 0]);
    const recipe = trainConfig(train);
    assertEquals(
      [recipe.batchSize, recipe.gradAccumulation, recipe.maxSteps],
      cpu ? [12, 1, 2000] : [64, 1, 5000],
    );
    assertEquals([recipe.beta1, recipe.beta2, recipe.eps], [0.9, 0.99, 1e-8]);
    assertEquals([recipe.weightDecay, recipe.decay], [0.1, "matrices"]);
    assertEquals(recipe.gradClip, 1);
    assertEquals([recipe.learningRate, recipe.minLearningRate], [1e-3, 1e-4]);
    assertEquals([recipe.schedule, recipe.warmupSteps], ["cosine", 100]);
    assertEquals(recipe.decaySteps ?? recipe.maxSteps, cpu ? 2000 : 5000);
    assertEquals(recipe.evalInterval, 250);
  }
});

Deno.test("The original preset is the study's recipe, number for number", () => {
  const { model, train, tokenizer } = presets.original;
  const config = modelConfig({ ...model, vocabSize: 128 });
  const recipe = trainConfig(train);
  assertEquals(tokenizer, "ascii");
  assertEquals([config.position, config.mlp, config.normPlacement], [
    "none",
    "geluTanh",
    "pre",
  ]);
  assertEquals([config.labelSmoothing, config.dropout, config.init], [
    0.1,
    0,
    "torch",
  ]);
  assertEquals([recipe.learningRate, recipe.schedule, recipe.warmupSteps], [
    1e-3,
    "constant",
    0,
  ]);
  assertEquals([recipe.beta1, recipe.beta2, recipe.eps], [0.9, 0.999, 1e-8]);
  assertEquals([recipe.weightDecay, recipe.decay, recipe.gradClip], [
    0.01,
    "all",
    1,
  ]);
  assertEquals([recipe.batchSize, config.blockSize, recipe.maxSteps], [
    16,
    128,
    5000,
  ]);
});

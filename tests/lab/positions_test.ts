import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { openBackend } from "../../lib/backends/open.ts";
import type { ModelOptions } from "../../lib/config/model.ts";
import { makeGeneric, randomIds, variants } from "../../lib/checks/variants.ts";
import { Model } from "../../lib/model/model.ts";
import {
  attentionSpread,
  innerValues,
  lengthened,
  lossByPosition,
} from "../../lib/lab/positions/inner_values.ts";
import { fitProbes, readProbes } from "../../lib/lab/positions/probes.ts";
import {
  apply,
  cholesky,
  NormalEquations,
} from "../../lib/lab/positions/ridge.ts";
import {
  constantWindows,
  permutation,
  shuffledWindows,
  spreadWindows,
} from "../../lib/lab/positions/windows.ts";

Deno.test("Ridge regression finds the map that made the targets", () => {
  const C = 5;
  const equations = new NormalEquations({ features: C, targets: 2 });
  const ids = randomIds(200 * C, { vocabSize: 1000 });
  const weights = [0.5, -2, 0, 3, 1];
  const mapped = (at: number) =>
    weights.reduce((sum, weight, i) => sum + weight * ids[at + i]!, 7);
  for (let at = 0; at < ids.length; at += C) {
    equations.add(ids, at, [mapped(at), 4]);
  }
  const [map, constant] = equations.solve();
  // What holds the weights back, 1e-6 of the features' variance, moves them by as little.
  map!.weights.forEach((weight, i) =>
    assertAlmostEquals(weight, weights[i]!, 1e-5)
  );
  assertAlmostEquals(apply(map!, ids, 0), mapped(0), 0.01);
  assertAlmostEquals(apply(constant!, ids, 0), 4, 1e-9);
});

Deno.test("Ridge regression accepts constant and equal features", () => {
  const equations = new NormalEquations({ features: 3, targets: 1 });
  for (let t = 0; t < 10; t++) equations.add([t, t, 5], 0, [t]);
  const [map] = equations.solve();
  assertAlmostEquals(apply(map!, [3, 3, 5], 0), 3, 1e-4);
  assertAlmostEquals(map!.weights[2]!, 0, 1e-12);
  const still = new NormalEquations({ features: 2, targets: 1 });
  for (let t = 0; t < 10; t++) still.add([1, 2], 0, [t]);
  assertAlmostEquals(apply(still.solve()[0]!, [1, 2], 0), 4.5, 1e-12);
  assertThrows(
    () => new NormalEquations({ features: 1, targets: 1 }).solve(),
    RangeError,
    "there are 0 rows",
  );
});

Deno.test("Cholesky's factor times its transpose is the matrix; others are refused", () => {
  const A = Float64Array.of(4, 2, -2, 2, 5, 1, -2, 1, 6);
  const L = cholesky(A, 3);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      let sum = 0;
      for (let k = 0; k < 3; k++) sum += L[i * 3 + k]! * L[j * 3 + k]!;
      assertAlmostEquals(sum, A[i * 3 + j]!, 1e-12);
    }
  }
  assertThrows(
    () => cholesky(Float64Array.of(1, 2, 2, 1), 2),
    RangeError,
    "its pivot 1 (-3) is not above 0",
  );
});

Deno.test("Windows are spread over the text, each with the token that follows", () => {
  const text = Int32Array.from({ length: 11 }, (_, i) => i);
  const { tokens, targets, count } = spreadWindows(text, { T: 4, atMost: 3 });
  assertEquals(count, 3);
  assertEquals([...tokens], [0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7]);
  assertEquals(targets, tokens.map((token) => token + 1));
  assertEquals(spreadWindows(text, { T: 10, atMost: 5 }).count, 1);
  assertThrows(
    () => spreadWindows(text, { T: 11, atMost: 5 }),
    RangeError,
    "the text has 11 tokens, fewer than 12",
  );
  const shuffled = shuffledWindows({ T: 4, count, tokens, targets }, 1);
  assert(shuffled.tokens.some((token, i) => token !== tokens[i]));
  for (let n = 0; n < count; n++) {
    const window = (of: Int32Array) => of.slice(4 * n, 4 * n + 4).sort();
    assertEquals(window(shuffled.tokens), window(tokens));
  }
  assertEquals([...permutation(5, { seed: 3 })].toSorted(), [0, 1, 2, 3, 4]);
});

Deno.test("The last part of the residual stream is the head's input, in every architecture", async () => {
  await using backend = await openBackend("reference");
  for (const { name, config } of variants) {
    await using model = await Model.create(config, { backend });
    await makeGeneric(model);
    const { blockSize: T, vocabSize: V, nEmbd: C, normPlacement } = config;
    const tokens = randomIds(2 * T, config);
    const windows = { T, count: 2, tokens, targets: tokens };
    const parts: string[] = [];
    let head: ArrayLike<number> = [];
    for await (
      const { values } of innerValues(model, windows, { inside: "stream" })
    ) {
      parts.push(...values.keys());
      head = values.get(parts.at(-1)!)!;
    }
    const norm = normPlacement === "pre" && config.norm !== "none";
    assertEquals(parts, [
      ...["embedding", "block 1", "block 2"],
      ...(norm ? ["final norm"] : []),
    ], name);
    const tensors = await model.parameters();
    const weight = tensors.get(
      config.tiedHead ? "wte.weight" : "lm_head.weight",
    )!;
    const bias = tensors.get("lm_head.bias")?.data as Float64Array | undefined;
    const cap = config.logitSoftcap;
    const logits = await model.forward(tokens, { B: 2, T });
    for (let v = 0; v < V; v++) {
      let logit = bias?.[v] ?? 0;
      for (let c = 0; c < C; c++) {
        logit += head[c]! * (weight.data as Float64Array)[v * C + c]!;
      }
      const capped = cap === null ? logit : cap * Math.tanh(logit / cap);
      assertAlmostEquals(capped, logits[v]!, 1e-9, name);
    }
  }
});

const sizes = {
  vocabSize: 9,
  blockSize: 16,
  nLayer: 2,
  nHead: 2,
  nEmbd: 16,
} as const satisfies ModelOptions;

/** Random text: nothing in it tells where it is cut. */
const text = randomIds(4000, sizes);

async function generic(change: Partial<ModelOptions>): Promise<Model> {
  const backend = await openBackend("wasm", { threads: 1, blas: "off" });
  const model = await Model.create({ ...sizes, ...change }, { backend });
  await makeGeneric(model);
  return model;
}

Deno.test("Probes read positions that are there, and none where there are none", async () => {
  const { blockSize: T } = sizes;
  const fit = spreadWindows(text.subarray(0, 2000), { T, atMost: 200 });
  const windows = spreadWindows(text.subarray(2000), { T, atMost: 200 });
  const r2 = async (change: Partial<ModelOptions>) => {
    const model = await generic(change);
    await using _backend = model.backend;
    const probes = await fitProbes(model, fit, { seed: 1 });
    const readings = await readProbes(model, probes, { windows, seed: 1 });
    for (const { shuffledR2, part } of readings) {
      assert(Math.abs(shuffledR2) < 0.05, `${part}, shuffled: ${shuffledR2}`);
    }
    const constant = await readProbes(model, probes, {
      windows: constantWindows(sizes.vocabSize, T),
      seed: 1,
    });
    const ranges = constant.map(({ means }) =>
      Math.max(...means) - Math.min(...means)
    );
    return {
      parts: Object.fromEntries(readings.map(({ part, r2 }) => [part, r2])),
      range: ranges.at(-1)!,
    };
  };
  const learned = await r2({ position: "learned" });
  // 16 random vectors of 16 numbers: linear in them position is, up to the tokens' noise.
  assert(learned.parts["embedding"]! > 0.5, JSON.stringify(learned));
  assert(learned.range > 1, `learned, one token: ${learned.range}`);
  const causal = await r2({ position: "none" });
  assert(Math.abs(causal.parts["embedding"]!) < 0.05, JSON.stringify(causal));
  assert(causal.parts["block 2"]! > 0.1, JSON.stringify(causal));
  // A mean of values that are all the same is that value, whatever their number.
  assert(causal.range < 1e-3, `causal, one token: ${causal.range}`);
  const unmasked = await r2({ position: "none", mask: "none" });
  for (const [part, found] of Object.entries(unmasked.parts)) {
    assert(Math.abs(found) < 0.05, `unmasked, ${part}: ${found}`);
  }
});

Deno.test("The mean of the losses by position is the loss of an evaluation", async () => {
  const model = await generic({ position: "rope" });
  await using _backend = model.backend;
  const windows = spreadWindows(text, { T: 16, atMost: 40 });
  const losses = await lossByPosition(model, windows);
  assertEquals(losses.length, 16);
  const loss = await model.evaluate([{ ...windows, B: 40, count: 40 * 16 }]);
  // float32's rounding of sums of 640 losses of about 3.
  assertAlmostEquals(losses.reduce((a, b) => a + b) / 16, loss, 1e-4);
});

Deno.test("A longer context changes no logit within the old one; learned positions are refused", async () => {
  for (
    const position of [
      "none",
      "sinusoidal",
      "rope",
      "rope-half",
      "alibi",
    ] as const
  ) {
    const model = await generic({ position });
    await using _backend = model.backend;
    await using long = await lengthened(model, 40);
    assertEquals(long.config.blockSize, 40);
    const tokens = text.slice(0, 40);
    const V = sizes.vocabSize;
    const short = await model.forward(tokens.slice(0, 16), { B: 1, T: 16 });
    const logits = await long.forward(tokens, { B: 1, T: 40 });
    assertEquals(logits.slice(0, 16 * V), short, position);
  }
  const model = await generic({ position: "learned" });
  await using _backend = model.backend;
  await assertRejects(
    () => lengthened(model, 40),
    RangeError,
    "it has learned 16 positions, there is nothing for the other 24",
  );
});

Deno.test("The variance of causal attention's output falls with the number of tokens seen", async () => {
  // Without attention weights: all scores are 0, and it is a plain mean.
  const model = await generic({ position: "none" });
  await using _backend = model.backend;
  const tensors = await model.parameters();
  for (
    const [name, size] of [["weight", 2 * 16 ** 2], ["bias", 2 * 16]] as const
  ) {
    const { data } = tensors.get(`h.0.attn.c_attn.${name}`)!;
    for (let i = 0; i < size; i++) data[i] = 0;
  }
  model.setParameters(tensors);
  const spread = await attentionSpread(
    model,
    spreadWindows(text, { T: 16, atMost: 1000 }),
  );
  // 1/t, with the sampling noise of variances of 1000 windows in 16 channels.
  spread.forEach((variance, t) =>
    assertAlmostEquals(variance * (t + 1) / spread[0]!, 1, 0.2)
  );
});

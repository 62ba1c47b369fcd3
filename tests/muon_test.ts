/** Muon against its own definition, written once more with plain matrices. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { openBackend } from "../lib/backends/open.ts";
import {
  type ModelOptions,
  type TrainConfig,
  trainConfig,
} from "../lib/config.ts";
import { compile } from "../lib/graph/compile.ts";
import { layoutParameters } from "../lib/graph/layout.ts";
import { Graph } from "../lib/graph/tensor.ts";
import { Model } from "../lib/language_model.ts";
import { orthogonalize } from "../lib/muon.ts";
import { scheduleAt } from "../lib/optimizer.ts";
import { trainPlan } from "../lib/plans.ts";
import { CounterRandom, Purpose } from "../lib/random.ts";
import { randomIds } from "./variants.ts";

type Matrix = number[][];

function product(a: Matrix, b: Matrix): Matrix {
  return a.map((row) =>
    b[0]!.map((_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0))
  );
}

function transpose(a: Matrix): Matrix {
  return a[0]!.map((_, j) => a.map((row) => row[j]!));
}

function blend(alpha: number, a: Matrix, beta: number, b: Matrix): Matrix {
  return a.map((row, i) => row.map((x, j) => alpha * x + beta * b[i]![j]!));
}

function norm(a: Matrix): number {
  return Math.sqrt(a.flat().reduce((sum, x) => sum + x * x, 0));
}

/** Jordan's iteration, on the transpose where that has fewer rows. */
function orthogonal(matrix: Matrix): Matrix {
  if (matrix.length > matrix[0]!.length) {
    return transpose(orthogonal(transpose(matrix)));
  }
  const size = norm(matrix) + 1e-7;
  let x = matrix.map((row) => row.map((value) => value / size));
  for (let i = 0; i < 5; i++) {
    const gram = product(x, transpose(x));
    const factor = blend(-4.775, gram, 2.0315, product(gram, gram));
    x = blend(3.4445, x, 1, product(factor, x));
  }
  return x;
}

function matrixOf(flat: ArrayLike<number>, columns: number): Matrix {
  return Array.from(
    { length: flat.length / columns },
    (_, i) => Array.from(flat).slice(i * columns, (i + 1) * columns),
  );
}

for (const [rows, columns] of [[5, 5], [3, 12], [12, 3], [1, 7]] as const) {
  Deno.test(`Muon makes a ${rows} by ${columns} matrix nearly orthogonal`, async () => {
    await using backend = await openBackend("reference");
    const graph = new Graph();
    const matrix = graph.input("matrix", [rows, columns], "f32");
    const { result, dispatches } = orthogonalize(graph, matrix);
    const program = await backend.compile(
      compile({
        name: "test",
        phases: {
          test: dispatches.map((each) => ({ ...each, label: "test" })),
        },
        layout: layoutParameters(graph),
        outputs: { result },
      }),
      new Map(),
    );
    const random = new CounterRandom(1, Purpose.init);
    const values = Float64Array.from(
      { length: rows * columns },
      (_, i) => 100 * random.normal(0, i),
    );
    program.buffer("matrix").write(values);
    program.run();
    const x = matrixOf(await program.buffer("result").read(), columns);
    const expected = orthogonal(matrixOf(values, columns));
    x.forEach((row, i) =>
      row.forEach((value, j) =>
        assertAlmostEquals(value, expected[i]![j]!, 1e-9)
      )
    );
    // Trace and norm of the Gram matrix are sums of squares and fourth powers of singular
    // values, each between 0.68 and 1.13 after five steps (Jordan 2024).
    const short = rows <= columns ? x : transpose(x);
    const gram = product(short, transpose(short));
    const side = gram.length;
    const trace = gram.reduce((sum, row, i) => sum + row[i]!, 0);
    assert(trace > side * 0.68 ** 2 && trace < side * 1.2 ** 2, `${trace}`);
    assert(norm(gram) < Math.sqrt(side) * 1.2 ** 2, `${norm(gram)}`);
  });
}

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
  const program = await model.compile(trainPlan(model.config, train, { B, T }));
  const read = async (store: string) => {
    const flat = await model.stores.get(store)!.read();
    return new Map(
      model.layout.entries.map(({ name, offset, length }) => [
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

Deno.test("SGD follows its momentum and decays apart from it", async () => {
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

import { assert, assertEquals, assertThrows } from "@std/assert";
import { openReference } from "../../lib/backends/reference.ts";
import type { Numbers } from "../../lib/backends/backend.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { backward, forward } from "../../lib/graph/autodiff.ts";
import { compile, formatPlan } from "../../lib/graph/compile.ts";
import { layoutParameters } from "../../lib/graph/layout.ts";
import { add, softcap } from "../../lib/graph/ops/elementwise.ts";
import { embedding } from "../../lib/graph/ops/embedding.ts";
import { linear } from "../../lib/graph/ops/linear.ts";
import { crossEntropy } from "../../lib/graph/ops/loss.ts";
import { Graph, type Tensor } from "../../lib/graph/tensor.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { evalPlan } from "../../lib/model/plans.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";

const T = 3;
const C = 4;
const V = 5;
const normal = { kind: "normal", sd: 1 } as const;

/** The loss and every parameter's gradient of a network whose middle is `describe`. */
async function gradients(
  describe: (
    x: Tensor,
    map: (x: Tensor, name: string, residual?: Tensor) => Tensor,
  ) => Tensor,
  { nudge, shareSlots = true }: {
    nudge?: { index: number; by: number };
    shareSlots?: boolean;
  } = {},
): Promise<{ loss: number; gradient: Numbers }> {
  const graph = new Graph();
  const tokens = graph.input("tokens", [1, T], "i32");
  const targets = graph.input("targets", [1, T], "i32");
  const wte = graph.parameter("wte", [V, C], normal);
  const map = (x: Tensor, name: string, residual?: Tensor) =>
    linear(x, graph.parameter(name, [C, C], normal), { residual });
  const y = describe(embedding(tokens, wte), map);
  const head = graph.parameter("head", [V, C], normal);
  const rowLoss = crossEntropy(linear(y, head), targets, {
    smoothing: 0,
    gradientScale: 1,
  });
  const phases = { gradient: [...forward(graph), ...backward(graph)] };
  const layout = layoutParameters(graph);
  const outputs: Record<string, Tensor> = { rowLoss };
  if (!shareSlots) {
    for (const tensor of graph.tensors) {
      if (tensor.storage.kind === "slot") outputs[`all ${tensor.id}`] = tensor;
    }
    delete outputs[`all ${rowLoss.id}`];
  }
  const plan = compile({ name: "test", phases, layout, outputs });
  await using backend = openReference();
  const stores = new Map();
  const program = await backend.compile(plan, stores);
  const random = new CounterRandom(3, Purpose.init);
  const values = Float64Array.from(
    { length: layout.length },
    (_, i) => random.normal(0, i),
  );
  if (nudge !== undefined) values[nudge.index]! += nudge.by;
  stores.get("params").write(values);
  program.buffer("tokens").write([1, 4, 1]);
  program.buffer("targets").write([0, 2, 3]);
  program.run();
  const losses = await program.buffer("rowLoss").read();
  const gradient = await stores.get("grads").read();
  return { loss: Array.from(losses).reduce((a, b) => a + b, 0), gradient };
}

const networks: Record<string, Parameters<typeof gradients>[0]> = {
  "one tensor read three times": (x, map) =>
    add(add(map(x, "a"), map(x, "b")), softcap(x, 2)),
  "a sum whose one part goes on": (x, map) => {
    const a = map(x, "a");
    return add(a, map(a, "b"));
  },
  "a gradient that two sums share while it is still to be read": (x, map) => {
    const a = map(x, "a");
    const b = map(x, "b");
    const c = softcap(a, 2);
    return add(add(a, b), c);
  },
  "a sum of a tensor with itself": (x, map) => {
    const a = map(x, "a");
    return map(add(a, a), "b");
  },
  "a sum read by an op that stands before its other part": (x, map) => {
    const a = softcap(map(x, "a"), 2);
    const b = add(a, x);
    const c = softcap(a, 2);
    return add(add(b, c), a);
  },
  "a map on a residual, as in a block": (x, map) => {
    const y = map(softcap(x, 2), "a", x);
    return map(softcap(y, 2), "b", y);
  },
  "a map on its own input": (x, map) => {
    const a = map(x, "a");
    return softcap(map(a, "b", a), 2);
  },
  "two maps on one residual that is read between them": (x, map) => {
    const a = map(x, "a");
    const b = map(x, "b", a);
    const c = softcap(a, 2);
    return add(map(c, "c", a), b);
  },
  "a residual whose gradient is still to be read": (x, map) => {
    const a = map(x, "a");
    const b = map(x, "b");
    const c = map(a, "c");
    return add(c, map(c, "d", add(a, b)));
  },
  "a parameter used twice": (x, map) => map(map(x, "a"), "a"),
};

for (const [name, describe] of Object.entries(networks)) {
  Deno.test(`Autodiff is right for ${name}`, async () => {
    const { gradient } = await gradients(describe);
    const by = 1e-5;
    for (let index = 0; index < gradient.length; index++) {
      const above = await gradients(describe, { nudge: { index, by } });
      const below = await gradients(describe, { nudge: { index, by: -by } });
      const expected = (above.loss - below.loss) / (2 * by);
      // Central differences in float64: truncation 1e-10, rounding 1e-15 / 1e-5.
      const error = Math.abs(gradient[index]! - expected);
      assert(
        error <= 1e-8 * Math.max(1, Math.abs(expected)),
        `parameter ${index}: ${gradient[index]}, expected ${expected}`,
      );
    }
  });

  Deno.test(`Sharing slots changes no bit for ${name}`, async () => {
    const shared = await gradients(describe);
    const apart = await gradients(describe, { shareSlots: false });
    assertEquals(shared, apart);
  });
}

Deno.test("No dispatch of a training plan reads and writes one slot", () => {
  const config = modelConfig({
    vocabSize: 11,
    blockSize: 8,
    nLayer: 3,
    nHead: 2,
    nEmbd: 8,
    mlp: "swiglu",
    position: "rope",
    qkNorm: true,
    dropout: 0.1,
    logitSoftcap: 10,
  });
  const plan = trainPlan(config, trainConfig(), { B: 2, T: 8 });
  for (const { kernel, label, outputs, inputs } of plan.dispatches) {
    const written = outputs.map(({ buffer }) => buffer);
    for (const { buffer } of inputs) {
      assert(!written.includes(buffer), `${label} ${kernel}`);
    }
    const kinds = written.map((buffer) => plan.buffers[buffer]!);
    for (const { kind, name } of kinds) {
      assert(
        kind === "store" ||
          written.filter((b) => plan.buffers[b]!.name === name).length === 1,
        `${label} ${kernel} writes ${name} twice`,
      );
    }
  }
});

Deno.test("Memory for slots does not grow with the number of layers when only the forward pass runs", () => {
  const slots = (nLayer: number) => {
    const graph = new Graph();
    let x = embedding(
      graph.input("tokens", [1, T], "i32"),
      graph.parameter("wte", [V, C], normal),
    );
    for (let i = 0; i < nLayer; i++) {
      const y = linear(x, graph.parameter(`w${i}`, [C, C], normal));
      x = softcap(y, 2);
    }
    const plan = compile({
      name: "forward",
      phases: { forward: forward(graph) },
      layout: layoutParameters(graph),
    });
    return plan.buffers.filter(({ kind }) => kind === "slot").length;
  };
  assertEquals(slots(12), slots(3));
});

Deno.test("A plan is frozen, and can be printed", () => {
  const config = modelConfig({
    vocabSize: 7,
    nLayer: 1,
    nHead: 1,
    nEmbd: 4,
    blockSize: 4,
  });
  const plan = trainPlan(config, trainConfig(), { B: 1, T: 4 });
  assertThrows(() => {
    (plan.dispatches as unknown[]).push(0);
  }, TypeError);
  const text = formatPlan(plan);
  assert(text.includes("h.0.attn.c_attn"));
  assert(text.includes("attentionBackward"));
  assertEquals(text.split("\n").length, plan.dispatches.length + 3);
});

Deno.test("Residual connections are part of the output projections, or of the dropout after them", () => {
  const options = {
    vocabSize: 11,
    blockSize: 4,
    nLayer: 3,
    nHead: 1,
    nEmbd: 4,
  };
  const counts = (more: object) => {
    const config = modelConfig({ ...options, ...more });
    const { dispatches } = evalPlan(config, { B: 1, T: 4 });
    const train = trainPlan(config, trainConfig(), { B: 1, T: 4 }).dispatches;
    const loss = train.findIndex(({ kernel }) => kernel === "lossSum");
    return [dispatches, train.slice(0, loss)].map((dispatches) =>
      ["matmul", "dropout"].map((name) =>
        dispatches.filter(({ kernel, dims }) =>
          kernel === name && "residual" in dims && dims.residual
        ).length
      )
    );
  };
  assertEquals(counts({}), [[6, 0], [6, 0]]);
  assertEquals(counts({ normPlacement: "post" }), [[6, 0], [6, 0]]);
  assertEquals(counts({ dropout: 0.1 }), [[6, 0], [0, 6]]);
  assertEquals(counts({ residual: false }), [[0, 0], [0, 0]]);
});

Deno.test("Ops refuse shapes that do not fit, with both shapes", () => {
  const graph = new Graph();
  const x = graph.input("x", [2, 3], "f32");
  const weight = graph.parameter("w", [4, 5], normal);
  assertThrows(() => linear(x, weight), RangeError, "[4,5], not [4,3]");
  const square = graph.parameter("square", [3, 3], normal);
  const residual = graph.input("residual", [3, 3], "f32");
  assertThrows(
    () => linear(x, square, { residual }),
    RangeError,
    "[3,3], not [2,3]",
  );
  assertThrows(
    () => add(x, graph.input("y", [3, 2], "f32")),
    RangeError,
    "[3,2], not [2,3]",
  );
});

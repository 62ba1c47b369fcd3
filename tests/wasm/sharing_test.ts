/** How the CPU engine's threads share a run: by steps or by groups of texts, or not at all; and that no bit depends on it. */

import { assert, assertEquals } from "@std/assert";
import { checkPlan } from "../../lib/backends/checks.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { type Groups, groupsOf } from "../../lib/backends/wasm/groups.ts";
import { matricesOf } from "../../lib/backends/wasm/matrices.ts";
import { Sharing } from "../../lib/backends/wasm/sharing.ts";
import { presetTraining, RandomSteps } from "../../lib/checks/workloads.ts";
import { Model } from "../../lib/model/model.ts";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import {
  cachedPlan,
  evalPlan,
  parameterLayout,
} from "../../lib/model/plans.ts";
import { isHiddenMatrix } from "../../lib/train/muon.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { blasTest } from "./blas_libraries.ts";

/** A model with all that a text can meet: positions, norms, grouped heads, a soft cap; its products have several blocks. */
const options: ModelOptions = {
  ...{ vocabSize: 65, blockSize: 48, nLayer: 2, nHead: 4, nEmbd: 96 },
  ...{ nKvHead: 2, qkNorm: true, logitSoftcap: 15 },
  position: "rope",
  norm: "rmsnorm",
  mlp: "swiglu",
};

/** Prompts of 11 texts, which two groups share unevenly. */
const prompts = Array.from(
  { length: 11 },
  (_, i) => Array.from({ length: 1 + i * 3 % 7 }, (_, j) => (7 * i + j) % 65),
);

/** Options of texts that outgrow the context, so that all plans of a generation run. */
const writing = { sampler: { seed: 3 }, maxNewTokens: 60 };

/** Trains the default preset for two steps and writes texts; returns the parameters and the ids. */
async function results(engine: Parameters<typeof openWasm>[0]) {
  await using backend = await openWasm(engine);
  await using steps = await RandomSteps.open(
    backend,
    presetTraining("default"),
  );
  const program = await steps.compile();
  steps.fill(program);
  for (let i = 0; i < 2; i++) {
    steps.begin(program);
    program.run();
  }
  const parameters = await steps.model.parameters();
  await using model = await Model.create(options, { backend });
  const ids: number[][] = [];
  for await (const each of model.generateBatch(prompts, writing)) {
    ids.push([...each]);
  }
  return { parameters, ids };
}

Deno.test("Training and texts have the same bits on 1, 2, 3 and 8 threads", async () => {
  const one = await results({ threads: 1 });
  for (const threads of [2, 3, 8]) {
    assertEquals(await results({ threads }), one);
  }
});

blasTest(
  "Training and texts with a BLAS have the same bits on 1, 2, 3 and 8 threads",
  async () => {
    const one = await results({ threads: 1, blas: "auto" });
    for (const threads of [2, 3, 8]) {
      assertEquals(await results({ threads, blas: "auto" }), one);
    }
  },
);

Deno.test("A text in a group of texts is the text alone", async () => {
  await using backend = await openWasm({ threads: 3 });
  await using model = await Model.create(options, { backend });
  const together: number[][] = prompts.map(() => []);
  const sampler = { temperature: 0 };
  for await (
    const ids of model.generateBatch(prompts, { ...writing, sampler })
  ) ids.forEach((id, row) => together[row]!.push(id));
  for (const [row, prompt] of prompts.entries()) {
    const alone: number[] = [];
    for await (const id of model.generate(prompt, { ...writing, sampler })) {
      alone.push(id);
    }
    assertEquals(together[row], alone);
  }
});

/** Returns the groups of all dispatches of a plan, or of a phase. */
function groups(plan: Plan, phase?: string) {
  const [from, to] = phase === undefined
    ? [0, plan.dispatches.length]
    : plan.phases[phase]!;
  return groupsOf(plan, { from, to });
}

/** Asserts how many texts each group has, and that no group reads or writes what another one writes, but for their sums. */
function assertGroups(
  { parts, sums }: Groups,
  { sizes }: { readonly sizes: readonly number[] },
) {
  assertEquals(
    parts.map(([first]) => (first!.dims as { B: number }).B),
    sizes,
  );
  const written = parts.map((dispatches) =>
    dispatches.flatMap(({ outputs }) => outputs)
      .filter(({ buffer }) => !sums.has(buffer))
  );
  for (const [i, dispatches] of parts.entries()) {
    for (const { outputs, inputs } of dispatches) {
      assert(inputs.every(({ buffer }) => !sums.has(buffer)));
      for (const mine of [...outputs, ...inputs]) {
        for (const theirs of written.flatMap((all, j) => i === j ? [] : all)) {
          if (mine.buffer !== theirs.buffer) continue;
          assert(
            mine.offset + mine.length <= theirs.offset ||
              theirs.offset + theirs.length <= mine.offset,
          );
        }
      }
    }
  }
}

Deno.test("Groups divide the texts of a generation, each with parts of every buffer of its own", () => {
  const config = modelConfig(options);
  for (const [B, sizes] of [[2, [1, 1]], [11, [5, 6]], [32, [8, 8, 8, 8]]]) {
    const all = groups(cachedPlan(config, { B: B as number, T: 1 }))!;
    assertGroups(all, { sizes: sizes as number[] });
    assertEquals(all.sums.size, 0);
  }
  assertEquals(groups(cachedPlan(config, { B: 1, T: 1 })), undefined);
  // An evaluation does not add to its losses, but sets them.
  assertEquals(groups(evalPlan(config, { B: 4, T: 8 })), undefined);
});

Deno.test("Groups divide the texts of a training, and share the gradients and the loss alone", () => {
  const train = trainConfig({ optimizer: "muon", gradAccumulation: 2 });
  const config = modelConfig({ ...options, bias: true, tiedHead: true });
  for (const [B, sizes] of [[2, [1, 1]], [10, [1, 1, 1, 2, 1, 1, 1, 2]]]) {
    const plan = trainPlan(config, train, { B: B as number, T: 24 });
    const all = groups(plan, "gradient")!;
    assertGroups(all, { sizes: sizes as number[] });
    assertEquals(
      [...all.sums].map((buffer) => plan.buffers[buffer]!.name).sort(),
      ["grads", "loss"],
    );
    assertEquals(groups(plan, "update"), undefined);
    // A part of the gradient leaves tensors in slots, for the part that follows.
    const [from, to] = plan.phases["gradient"]!;
    assertEquals(groupsOf(plan, { from, to: to - 20 }), undefined);
  }
});

Deno.test("No groups divide a training with dropout, of one text, in chunks of logits, or of a large model", () => {
  const train = trainConfig({});
  for (
    const [more, shape] of [
      [{ dropout: 0.1 }, { B: 4 }],
      [{}, { B: 1 }],
      [{}, { B: 4, mostLogits: 24 * 65 }],
      [{ nEmbd: 256 }, { B: 4 }],
    ] as const
  ) {
    const config = modelConfig({ ...options, ...more });
    const plan = trainPlan(config, train, { ...shape, T: 24 });
    assertEquals(groups(plan, "gradient"), undefined, JSON.stringify(more));
  }
  const plan = trainPlan(modelConfig(options), train, { B: 4, T: 24 });
  assert(groups(plan, "gradient"));
});

Deno.test("Each of Muon's matrices is updated alone: in slots of its own, at its own place in the stores", () => {
  const train = trainConfig({ optimizer: "muon" });
  const config = modelConfig(options);
  const plan = trainPlan(config, train, { B: 4, T: 24 });
  const [begin, end] = plan.phases["update"]!;
  const { from, to, updates } = matricesOf(plan, { from: begin, to: end })!;
  const layout = parameterLayout(config);
  const matrices = layout.entries.filter(isHiddenMatrix);
  // The norm of the gradients comes before, the other parameters after.
  assertEquals(plan.dispatches[from - 1]!.kernel, "clip");
  assertEquals(plan.dispatches[to]!.kernel, "adamw");
  const params = updates.map(({ dispatches }) =>
    dispatches.at(-1)!.outputs[0]!
  );
  assertEquals(
    params.map(({ offset, length }) => ({ offset, length }))
      .sort((a, b) => a.offset - b.offset),
    matrices.map(({ offset, length }) => ({ offset, length })),
  );
  const lengths = params.map(({ length }) => length);
  assertEquals(lengths, lengths.toSorted((a, b) => b - a));
  for (const { dispatches, slots } of updates) {
    checkPlan({ ...plan, dispatches, phases: {} });
    for (
      const { buffer, offset, length } of dispatches.flatMap((dispatch) =>
        dispatch.outputs
      )
    ) {
      if (plan.buffers[buffer]!.kind !== "slot") continue;
      assertEquals(offset, 0);
      assert(slots.get(buffer)! >= length);
    }
  }
});

Deno.test("Large matrices, and an optimizer without matrices, share the steps of an update", () => {
  for (
    const [more, optimizer] of [
      [{ nEmbd: 512 }, "muon"],
      [{}, "adamw"],
      [{}, "sgd"],
    ] as const
  ) {
    const config = modelConfig({ ...options, ...more });
    const plan = trainPlan(config, trainConfig({ optimizer }), { B: 4, T: 24 });
    const [from, to] = plan.phases["update"]!;
    assertEquals(matricesOf(plan, { from, to }), undefined);
  }
});

Deno.test("Threads share a run of doubtful size if that was faster, until it is not", () => {
  let clock = 0;
  const times = { alone: 2, shared: 1 };
  const now = () => clock;
  const sharing = new Sharing({ work: 200_000, steps: 10, now });
  /** Returns how many of 200 runs were shared. */
  const count = () => {
    let shared = 0;
    for (let i = 0; i < 200; i++) {
      sharing.run((isShared) => {
        clock += isShared ? times.shared : times.alone;
        if (isShared) shared++;
      });
    }
    return shared;
  };
  // Of the first 8 runs, 4 are trials of the other way.
  assertEquals(count(), 196);
  times.shared = 3;
  count(); // A period ends after 256 runs,
  assertEquals(count(), 4); // another after 512: again there are trials.
});

Deno.test("Runs of much work are always shared, and runs of little never", () => {
  for (const [work, expected] of [[1e6, true], [4e4, false]] as const) {
    const sharing = new Sharing({ work, steps: 10 });
    for (let i = 0; i < 20; i++) {
      sharing.run((isShared) => assertEquals(isShared, expected));
    }
  }
});

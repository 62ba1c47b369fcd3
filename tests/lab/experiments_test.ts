/** That the plans of the experiments can be run, and ask what they should. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { modelConfig, trainConfig } from "../../lib/config.ts";
import { ablationParts, ablationPlan } from "../../lib/lab/ablations.ts";
import {
  checkPlan,
  type Plan,
  type Trial,
  trialsOf,
} from "../../lib/lab/plan.ts";
import { scalingPlan, scalingResult } from "../../lib/lab/scaling.ts";
import { cellResults, markdownTable } from "../../lib/lab/table.ts";
import { parameterLayout } from "../../lib/plans.ts";
import { type PresetName, presets } from "../../lib/presets.ts";
import { outcomeOf } from "./outcomes.ts";

const names = Object.keys(presets) as PresetName[];
const options = {
  data: "tinyshakespeare",
  steps: 400,
  seeds: [1, 2, 3],
  measure: "works",
} as const;

/** What a trial trains, written out in full. */
function complete({ setting }: Trial) {
  const { model, train, dataShare } = setting;
  const whole = {
    ...modelConfig({ ...model, vocabSize: 65 }),
    ...trainConfig(train),
    dataShare,
  };
  return JSON.stringify(Object.entries(whole).toSorted());
}

Deno.test("Ablations of every preset can be run, and no two are the same", () => {
  for (const name of names) {
    const plan = checkPlan(ablationPlan(presets[name], { name, ...options }));
    const first = trialsOf(plan).filter(({ seed }) => seed === 1);
    assert(first.length > 45, `${name}: ${first.length} cells`);
    const configs = first.map(complete);
    const twice = first.filter((_, i) => configs.indexOf(configs[i]!) !== i);
    assertEquals(twice.map(({ cell }) => cell), [], name);
    assertEquals(JSON.parse(JSON.stringify(plan)), plan, "plain data");
  }
});

Deno.test("Ablations change every part that is said to matter", () => {
  const plan = ablationPlan(presets.default, { name: "default", ...options });
  const changed = new Set(
    plan.cells.flatMap(({ model, train, dataShare }) => [
      ...Object.keys({ ...model, ...train }),
      ...dataShare === undefined ? [] : ["dataShare"],
    ]),
  );
  const parts = [
    ..."position mask residual norm normPlacement attention mlp bias".split(
      " ",
    ),
    ..."attentionScale tiedHead nHead nLayer nEmbd blockSize dropout".split(
      " ",
    ),
    ..."labelSmoothing init warmupSteps gradClip weightDecay optimizer".split(
      " ",
    ),
    "dataShare",
  ];
  assertEquals(parts.filter((part) => !changed.has(part)), []);
  const of = (field: "position" | "mask") =>
    plan.cells.flatMap(({ model }) => model?.[field] ?? []).toSorted();
  assertEquals(of("position"), ["alibi", "learned", "none", "sinusoidal"]);
  assertEquals(of("mask"), ["finite", "finite", "none", "zeroed"]);
});

Deno.test("Ablations of some parts are those cells of the whole, and all parts are the whole", () => {
  for (const name of names) {
    const make = (parts?: readonly string[]) =>
      ablationPlan(presets[name], {
        ...{ name, ...options },
        ...(parts && { parts }),
      });
    const parts = ablationParts(presets[name]);
    assertEquals(make(parts), make());
    const cells = parts.map((part) => make([part]).cells.slice(1));
    assertEquals(cells.filter(({ length }) => length === 0), []);
    assertEquals(cells.flat().length, make().cells.length - 1);
  }
  const { cells } = ablationPlan(presets.original, {
    ...{ name: "original", ...options, parts: ["mask", "optimizer"] },
  });
  assertEquals(cells.map(({ name }) => name), [
    ...["base", "mask=none", "mask=zeroed", "mask=finite"],
    ...["mask=finite+maskValue=-4", "optimizer=muon+muonLearningRate=0.01"],
    ...["optimizer=sgd+learningRate=0.1", "optimizer=sgd+learningRate=0.5"],
  ]);
});

Deno.test("A table tells each change once: in the cell's name or beside it", () => {
  const tableOf = (cells: Plan["cells"]) =>
    markdownTable(cellResults({
      ...{ study: "s", about: "a", data: "d", tokenizer: "chars" },
      ...{ base: {}, seeds: [1], cells },
    }, []));
  const told = [{ name: "base" }, {
    name: "nEmbd=32",
    model: { nEmbd: 32 },
  }];
  assert(!tableOf(told).includes("also changed"));
  const more = [{ name: "nEmbd=32", model: { nEmbd: 32, nHidden: 128 } }, {
    name: "flat",
    train: { schedule: "constant" as const },
  }];
  const [head, , first, second] = tableOf(more).split("\n");
  assert(head!.startsWith("| cell | also changed |"));
  assert(first!.startsWith("| `nEmbd=32` | nHidden 128 |"), first);
  assert(second!.startsWith("| `flat` | schedule constant |"), second);
});

Deno.test("What hurts most stands first, after what leaks", () => {
  const plan: Plan = {
    ...{ study: "s", about: "a", data: "d", tokenizer: "chars" },
    base: {},
    seeds: [1],
    cells: ["base", "worse", "leaky", "lost"].map((name) => ({ name })),
  };
  const outcome = (cell: string, valLoss: number | null, causal = true) =>
    outcomeOf(cell, { parameters: 1, valLoss, causal });
  const outcomes = [
    outcome("base", 2),
    outcome("worse", 3),
    outcome("leaky", 0.1, false),
    outcome("lost", null),
  ];
  const order = (kind: "best" | "worst") =>
    cellResults(plan, outcomes, kind).map(({ cell }) => cell.name);
  assertEquals(order("worst"), ["leaky", "worse", "base", "lost"]);
  assertEquals(order("best"), ["leaky", "base", "worse", "lost"]);
});

Deno.test("Scaling of every preset can be run, and predicts its widest", () => {
  for (const name of names) {
    const plan = checkPlan(
      scalingPlan(presets[name], { name, ...options, seeds: [1] }),
    );
    const trials = trialsOf(plan);
    const law = (parameters: number, tokens: number) =>
      1.1 + 30 * parameters ** -0.4 + 500 * tokens ** -0.5;
    const outcomes = trials.map(({ cell, seed, setting }) => {
      const config = modelConfig({ ...setting.model, vocabSize: 65 });
      const parameters = parameterLayout(config).count;
      const { maxSteps, batchSize } = trainConfig(setting.train);
      const tokens = maxSteps * batchSize * config.blockSize;
      const valLoss = setting.dataShare < 1 ? 9 : law(parameters, tokens);
      return outcomeOf(cell, { parameters, valLoss, seed, tokens });
    });
    const { predicted, measured } = scalingResult(plan, outcomes)!;
    assertAlmostEquals(predicted.mean, measured.mean, 2e-3, name);
    // What the widest reaches does not tell what is predicted of it.
    const widest = plan.cells.at(-1)!.name;
    const surprised = scalingResult(
      plan,
      outcomes.map((each) =>
        each.cell === widest ? { ...each, valLoss: 3 } : each
      ),
    )!;
    assertEquals(surprised.predicted, predicted);
    assertEquals(surprised.measured.mean, 3);
    const untrained = outcomes.filter(({ cell }) => cell !== widest);
    assertEquals(scalingResult(plan, untrained), undefined);
  }
});

/** That the plans of the experiments can be run, and ask what they should. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
} from "@std/assert";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { ablationParts, ablationPlan } from "../../lib/lab/ablate/plan.ts";
import {
  checkPlan,
  type Plan,
  type Trial,
  trialsOf,
} from "../../lib/lab/plan.ts";
import type { Outcome } from "../../lib/lab/outcome.ts";
import {
  scalingPlan,
  scalingResult,
  verdict,
  verdictText,
} from "../../lib/lab/scaling/scaling.ts";
import {
  type CellResult,
  cellResults,
  cellTable,
  incomparable,
} from "../../lib/lab/table.ts";
import { markdownBlock } from "../../lib/report/markdown.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
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

/** The table of cells as Markdown. */
function tableText(results: readonly CellResult[]): string {
  return markdownBlock(cellTable(results)).join("\n");
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

Deno.test("Ablations change every part of the recipe", () => {
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

Deno.test("Another MLP has as many parameters, with a gate or without", () => {
  const widths = (name: keyof typeof presets) =>
    ablationPlan(presets[name], { name, ...options, parts: ["mlp"] }).cells
      .map(({ name, model }) => [name, model?.nHidden]);
  assertEquals(widths("default"), [
    ["base", undefined],
    ...["none", "geluTanh", "relu"].map((mlp) => [`mlp=${mlp}`, undefined]),
    ["mlp=swiglu", 172], // 256 · 2 / 3 = 170.7
  ]);
  assertEquals(widths("portable"), [
    ["base", undefined],
    ["mlp=none", undefined],
    ...["geluTanh", "relu", "relu2"].map((mlp) => [`mlp=${mlp}`, 276]), // 184 · 3 / 2
  ]);
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

Deno.test("A table names each change once: in the cell's name or in a column", () => {
  const tableOf = (cells: Plan["cells"]) =>
    tableText(cellResults({
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
  const ends = (line: string) => line.replaceAll(/ \|(?: {2}\|)+/g, " |");
  assertEquals(
    ends(head!),
    "| cell | validation loss | parameters | also changed | runs |",
  );
  assert(ends(first!).startsWith("| `nEmbd=32` | nHidden 128 |"), first);
  assert(ends(second!).startsWith("| `flat` | schedule constant |"), second);
});

Deno.test("Cells are sorted by loss; those that see the future come after them, those without a loss last", () => {
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
  assertEquals(order("worst"), ["worse", "base", "leaky", "lost"]);
  assertEquals(order("best"), ["base", "worse", "leaky", "lost"]);
});

Deno.test("Without a measurement the mask decides which cells see the future", () => {
  const models: Record<string, Plan["cells"][number]["model"] & object> = {
    base: {},
    none: { mask: "none" },
    zeroed: { mask: "zeroed" },
    weak: { mask: "finite", maskValue: -4 },
    "almost-1e4": { mask: "finite", maskValue: -9999 },
    strong: { mask: "finite" },
    stronger: { mask: "finite", maskValue: -1e5 },
    blind: { mask: "none", attention: false },
  };
  const plan: Plan = {
    ...{ study: "s", about: "a", data: "d", tokenizer: "chars" },
    base: {},
    seeds: [1],
    cells: Object.entries(models).map(([name, model]) => ({ name, model })),
  };
  const outcomes = plan.cells.map(({ name }, i) =>
    outcomeOf(name, { parameters: 1, valLoss: i === 0 ? 2 : 1 - i / 100 })
  );
  const seeing = (of: readonly Outcome[]) =>
    cellResults(plan, of).filter(({ leaks }) => leaks)
      .map(({ cell }) => cell.name).toSorted();
  const expected = ["almost-1e4", "none", "weak", "zeroed"];
  assertEquals(seeing(outcomes), expected);
  assertEquals(seeing([]), expected, "before anything ran");
  // What was measured decides about a finite mask.
  const measured = outcomes.map((outcome) => ({
    ...outcome,
    causal: !["strong", "none", "zeroed"].includes(outcome.cell),
  }));
  assertEquals(seeing(measured), ["none", "strong", "zeroed"]);
  const table = tableText(cellResults(plan, outcomes)).split("\n").slice(2);
  assertEquals(
    table.map((line) => line.includes("**sees the future**")),
    [false, false, false, false, true, true, true, true],
  );
  const all = cellResults({ ...plan, base: { model: { mask: "none" } } }, []);
  assertEquals(
    all.filter(({ leaks }) => leaks).length,
    5,
    "by the base's mask",
  );
});

Deno.test("A study says why nothing is compared with its baseline", () => {
  const plan = (cells: Plan["cells"], seeds = [1, 2]): Plan => ({
    ...{ study: "s", about: "a", data: "d", tokenizer: "chars" },
    ...{ base: {}, seeds, cells },
  });
  const two = plan([{ name: "base" }, { name: "other" }]);
  const done = (cell: string, ...seeds: number[]) =>
    seeds.map((seed) => outcomeOf(cell, { parameters: 1, valLoss: 2, seed }));
  const lost = (cell: string, seed: number) =>
    outcomeOf(cell, {
      ...{ parameters: 1, valLoss: null, seed },
      diverged: { step: 3, message: "NaN" },
    });
  const why = (plan: Plan, outcomes: readonly Outcome[]) =>
    incomparable(plan, cellResults(plan, outcomes));
  const both = [...done("base", 1, 2), ...done("other", 1, 2)];
  assertEquals(why(two, both), undefined);
  const compared = "Nothing is compared with the baseline, `base`: ";
  const cases: [Plan, readonly Outcome[], string][] = [
    [
      plan([{ name: "base" }]),
      done("base", 1, 2),
      "There is one cell, and nothing to compare it with.",
    ],
    [two, done("other", 1, 2), `${compared}2 trials missing.`],
    [two, [], `${compared}2 trials missing.`],
    [
      two,
      [lost("base", 1), ...done("other", 1, 2)],
      `${compared}1 trial diverged, 1 trial missing.`,
    ],
    [
      two,
      [1, 2].flatMap((seed) => [lost("base", seed), lost("other", seed)]),
      `${compared}2 trials diverged.`,
    ],
    [
      two,
      [...done("base", 1), ...done("other", 2)],
      `${compared}no other cell has a loss with one of its seeds.`,
    ],
    [
      plan([{ name: "base", model: { mask: "zeroed" } }, { name: "other" }]),
      both,
      `${compared}it sees the future.`,
    ],
  ];
  for (const [plan, outcomes, reason] of cases) {
    assertEquals(why(plan, outcomes), reason);
    const table = tableText(cellResults(plan, outcomes));
    assertEquals(table.includes("less the baseline"), false, table);
  }
  // One pair suffices.
  assertEquals(why(two, both.slice(1)), undefined);
});

Deno.test("A prediction is missed beyond the larger of its interval and the law's own error", () => {
  const cases: [
    mean: number,
    margin: number,
    residual: number,
    missed: boolean,
  ][] = [
    [0.25, 0.5, 0.125, false],
    [0.5, 0.5, 0.125, false], // exactly
    [-0.5, 0.5, 0.125, false],
    [0.50001, 0.5, 0.125, true],
    [-0.50001, 0.5, 0.125, true],
    [0.125, 0, 0.125, false], // exactly
    [0.12501, 0, 0.125, true],
    [-0.12501, 0, 0.125, true],
    // One seed has no interval.
    [0.125, NaN, 0.125, false],
    [-0.126, NaN, 0.125, true],
  ];
  for (const [mean, margin, residual, missed] of cases) {
    const found = verdict({ mean, margin, count: 3 }, { residual });
    assertEquals(found.missed, missed, `${mean} ± ${margin}, ${residual}`);
    assertEquals(found.bound, Math.max(margin || 0, residual));
  }
});

Deno.test("A cell misses the trials of its own seeds, or of the plan's", () => {
  const plan: Plan = {
    ...{ study: "x", about: "x", data: "x", tokenizer: "chars", base: {} },
    seeds: [1, 2],
    cells: [{ name: "base" }, { name: "more", seeds: [1, 2, 3, 4, 5] }],
  };
  const outcomes = ["base", "more"].map((cell) =>
    outcomeOf(cell, { parameters: 1, valLoss: 1 })
  );
  assertEquals(
    cellResults(plan, outcomes).map(({ done, missing }) => [done, missing]),
    [[1, 1], [1, 4]],
  );
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
    const reaching = (valLoss: number, causal = true) =>
      scalingResult(
        plan,
        outcomes.map((each) =>
          each.cell === widest ? { ...each, valLoss, causal } : each
        ),
      );
    // The law's own error is far below 0.5.
    for (const [by, says] of [[0, "held"], [0.5, "missed"], [-0.5, "missed"]]) {
      const loss = predicted.mean + Number(by);
      const surprised = reaching(loss)!;
      assertEquals(surprised.predicted, predicted);
      assertEquals(surprised.measured.mean, loss);
      assertMatch(
        verdictText(surprised),
        new RegExp(`^The prediction ${says}: `),
      );
    }
    assertEquals(reaching(0.1, false), undefined, "it sees the future");
    // Each seed has a law of its own; their predictions make the interval.
    const shifted = outcomes.map((each) => ({
      ...each,
      seed: 2,
      valLoss: each.valLoss! + 0.1,
    }));
    const both = scalingResult(plan, [...outcomes, ...shifted])!;
    assertEquals([both.predicted.count, both.measured.count], [2, 2]);
    assertAlmostEquals(both.predicted.mean, predicted.mean + 0.05, 1e-3, name);
    const untrained = outcomes.filter(({ cell }) => cell !== widest);
    assertEquals(scalingResult(plan, untrained), undefined);
  }
});

import { assertEquals, assertStringIncludes } from "@std/assert";
import { markdownSection } from "../../lib/report/markdown.ts";
import type { Plan } from "../../lib/lab/plan.ts";
import {
  reachedRungs,
  reachedSection,
  reachedText,
} from "../../lib/lab/rung_table.ts";
import { type Rung, rungValue } from "../../lib/lab/works.ts";
import { outcomeOf } from "./outcomes.ts";

const below = (name: Rung["name"], threshold: number): Rung => ({
  ...{ name, claim: "", relation: "below", threshold },
});

const rungs: Rung[] = [
  below("uniform", 4),
  below("bigram", 2),
  below("5-gram", 1),
  { name: "causal", claim: "", relation: "at least", threshold: 1 },
];

const plan: Plan = {
  ...{ study: "s", about: "a", data: "d", tokenizer: "chars", base: {} },
  seeds: [1, 2],
  baseline: "base",
  cells: ["leaky", "base", "same", "half", "lost"].map((name) => ({ name })),
};

/** Both runs of a cell. */
const runs = (cell: string, losses: (number | null)[], causal = true) =>
  losses.map((valLoss, i) =>
    outcomeOf(cell, { parameters: 1, valLoss, causal, seed: i + 1 })
  );

const trained = [
  ...runs("leaky", [1.5, 1.4], false),
  ...runs("base", [1.5, 1.9]),
  ...runs("same", [1.2, 1.3]),
  ...runs("half", [1.9, 2.1]),
];

Deno.test("A study counts the runs on each rung, and shows cells that differ from the baseline", () => {
  const { all, none, some, cells, alike, future } = reachedRungs(
    plan,
    trained,
    rungs,
  );
  assertEquals([all, none, some], [["uniform", "causal"], ["5-gram"], [
    "bigram",
  ]]);
  assertEquals(cells, [
    { cell: "base", runs: 2, reached: [2] },
    { cell: "half", runs: 2, reached: [1] },
  ]);
  assertEquals(future, ["leaky"]);
  assertEquals(alike, 1);
  const table = markdownSection(reachedSection(plan, trained, rungs)!);
  assertStringIncludes(
    table,
    "Runs that see the future are not counted: `leaky`. Every other run reaches uniform, causal. No other run reaches 5-gram.",
  );
  assertStringIncludes(table, "the baseline; cells left out: 1.");
  assertStringIncludes(table, "| `base` | 2 of 2 |\n| `half` | **1** of 2 |");
});

Deno.test("A run whose mask shows the future is on no rung, though nobody measured it", () => {
  const blind = runs("leaky", [0.5, 0.5]).map(({ causal: _, ...outcome }) => ({
    ...outcome,
    setting: { ...outcome.setting, model: { mask: "zeroed" as const } },
  }));
  const { none, future } = reachedRungs(
    plan,
    [...trained.slice(2), ...blind],
    rungs,
  );
  assertEquals([none, future], [["5-gram"], ["leaky"]]);
  const alone = reachedRungs(plan, blind, rungs);
  assertEquals(
    reachedText(alone),
    "Runs that see the future are not counted: `leaky`.",
  );
  const [, bigram] = rungs as [Rung, Rung];
  const evidence = { valLoss: 0.5, causal: false };
  assertEquals(rungValue(bigram, evidence), { value: 0.5, reached: false });
  assertEquals(rungValue(bigram, { valLoss: 0.5 }).reached, true);
});

Deno.test("Without its baseline a study does not say that rungs are compared with it", () => {
  const without = trained.filter(({ cell }) => cell !== "base");
  const text = reachedText(reachedRungs(plan, without, rungs));
  assertStringIncludes(text, "In the table are the other rungs.");
  const only = { ...plan, cells: [{ name: "base" }] };
  const one = reachedText(reachedRungs(only, runs("base", [1.5, 2.1]), rungs));
  assertStringIncludes(one, "In the table are the other rungs.");
});

Deno.test("A run that diverged is on no rung", () => {
  const outcomes = [...trained, ...runs("lost", [null])];
  const { all, cells } = reachedRungs(plan, outcomes, rungs);
  assertEquals(all, []);
  // uniform, bigram, causal.
  assertEquals(cells.at(-1), { cell: "lost", runs: 1, reached: [0, 0, 0] });
});

Deno.test("What the whole study reaches or does not needs no table", () => {
  const outcomes = runs("base", [1.5, 1.9]);
  const section = reachedSection(plan, outcomes, rungs)!;
  assertEquals(
    section.about,
    "Every run reaches uniform, bigram, causal. No run reaches 5-gram.",
  );
  assertEquals(section.blocks, []);
  assertEquals(reachedSection(plan, outcomes, []), undefined);
});

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { reachedSection } from "../../lib/cli/report/reached_section.ts";
import { textOf } from "../../lib/cli/report/markup.ts";
import type { Plan } from "../../lib/lab/plan.ts";
import { reachedRungs, reachedTable } from "../../lib/lab/rung_table.ts";
import type { Rung } from "../../lib/lab/works.ts";
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
  const { all, none, some, cells, alike } = reachedRungs(plan, trained, rungs);
  assertEquals([all, none, some], [["uniform"], ["5-gram"], [
    "bigram",
    "causal",
  ]]);
  assertEquals(cells, [
    { cell: "leaky", runs: 2, reached: [2, 0] },
    { cell: "base", runs: 2, reached: [2, 2] },
    { cell: "half", runs: 2, reached: [1, 2] },
  ]);
  assertEquals(alike, 1);
  const table = reachedTable(reachedRungs(plan, trained, rungs));
  assertStringIncludes(
    table,
    "Every run reaches uniform. No run reaches 5-gram.",
  );
  assertStringIncludes(table, "the baseline; cells left out: 1.");
  assertStringIncludes(table, "| `half` | 1 of 2 | 2 of 2 |");
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
  const text = reachedTable(reachedRungs(plan, outcomes, rungs));
  assertEquals(
    text,
    "Every run reaches uniform, bigram, causal. No run reaches 5-gram.",
  );
  const section = reachedSection(plan, outcomes, rungs)!;
  assertEquals(section.content, false);
  const differing = textOf(reachedSection(plan, trained, rungs)!.content);
  assertStringIncludes(differing, "<td><b>1</b> of 2</td>");
  assert(!differing.includes("<code>same</code>"), differing);
  assertEquals(reachedSection(plan, outcomes, []), undefined);
});

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { markdownSection } from "../../lib/report/markdown.ts";
import type { Plan } from "../../lib/lab/plan.ts";
import type { Outcome } from "../../lib/lab/outcome.ts";
import { reachedSection } from "../../lib/lab/rung_table.ts";
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

/** The section's sentences, and the rows of its table. */
function reached(of: Plan, outcomes: readonly Outcome[]) {
  const section = reachedSection(of, outcomes, rungs)!;
  const [table] = section.blocks;
  return {
    text: section.about!,
    rows: table?.kind === "table" ? table.rows : [],
  };
}

Deno.test("A study counts the runs on each rung, and shows cells that differ from the baseline", () => {
  const { text, rows } = reached(plan, trained);
  assertEquals(
    text,
    "Runs that see the future are not counted: `leaky`. Every other run reaches uniform, causal. No other run reaches 5-gram. In the table are the other rungs, and the cells that reach one of them in more runs or fewer than the baseline; cells left out: 1.",
  );
  assertEquals(rows, [["`base`", "2 of 2"], ["`half`", "**1** of 2"]]);
  const table = markdownSection(reachedSection(plan, trained, rungs)!);
  assertStringIncludes(table, "| cell | bigram |");
});

Deno.test("A run whose mask shows the future reaches no rung, also without a measurement", () => {
  const blind = runs("leaky", [0.5, 0.5]).map(({ causal: _, ...outcome }) => ({
    ...outcome,
    setting: { ...outcome.setting, model: { mask: "zeroed" as const } },
  }));
  const some = reached(plan, [...trained.slice(2), ...blind]).text;
  assertStringIncludes(some, "not counted: `leaky`.");
  assertStringIncludes(some, "No other run reaches 5-gram.");
  assertEquals(
    reached(plan, blind).text,
    "Runs that see the future are not counted: `leaky`.",
  );
  const [, bigram] = rungs as [Rung, Rung];
  const evidence = { valLoss: 0.5, causal: false };
  assertEquals(rungValue(bigram, evidence), { value: 0.5, reached: false });
  assertEquals(rungValue(bigram, { valLoss: 0.5 })!.reached, true);
});

Deno.test("A report without a run of the baseline does not say that it compares with the baseline", () => {
  const without = trained.filter(({ cell }) => cell !== "base");
  const { text } = reached(plan, without);
  assertStringIncludes(text, "In the table are the other rungs.");
  const only = { ...plan, cells: [{ name: "base" }] };
  const one = reached(only, runs("base", [1.5, 2.1])).text;
  assertStringIncludes(one, "In the table are the other rungs.");
});

Deno.test("A run that diverged reaches no rung", () => {
  const { text, rows } = reached(plan, [...trained, ...runs("lost", [null])]);
  assert(!text.includes("Every"), text);
  // uniform, bigram, causal.
  assertEquals(rows.at(-1), [
    "`lost`",
    "**0** of 1",
    "**0** of 1",
    "**0** of 1",
  ]);
});

Deno.test("A rung that all runs reach, or none, is not in the table", () => {
  const { text, rows } = reached(plan, runs("base", [1.5, 1.9]));
  assertEquals(
    text,
    "Every run reaches uniform, bigram, causal. No run reaches 5-gram.",
  );
  assertEquals(rows, []);
  assertEquals(reachedSection(plan, trained, []), undefined);
});

import { assertEquals, assertThrows } from "@std/assert";
import {
  baselineOf,
  checkPlan,
  lossUnit,
  type PlanTokenizer,
  trialsOf,
} from "../../lib/lab/plan.ts";

/** A plan as its file says it. */
function plan(changes: object = {}): unknown {
  return {
    study: "width",
    about: "How wide?",
    data: "tinyshakespeare",
    tokenizer: "chars",
    base: { model: { nLayer: 1, nEmbd: 8, nHead: 2 }, train: { maxSteps: 3 } },
    seeds: [1, 2],
    cells: [
      { name: "base" },
      { name: "wide", model: { nEmbd: 16 }, seeds: [2, 5] },
      { name: "less", dataShare: 0.5, train: { maxSteps: 9 } },
    ],
    ...changes,
  };
}

Deno.test("A plan's trials are its cells with their seeds, all first seeds first", () => {
  const trials = trialsOf(checkPlan(plan()));
  assertEquals(trials.map(({ id }) => id), [
    "base.s1",
    "wide.s2",
    "less.s1",
    "base.s2",
    "wide.s5",
    "less.s2",
  ]);
  const [, wide, less] = trials.map(({ setting }) => setting);
  assertEquals(wide, {
    ...{ data: "tinyshakespeare", tokenizer: "chars", measure: "loss" },
    model: { nLayer: 1, nEmbd: 16, nHead: 2 },
    train: { maxSteps: 3, seed: 2 },
    dataShare: 1,
  });
  assertEquals(less!.train, { maxSteps: 9, seed: 1 });
  assertEquals(less!.dataShare, 0.5);
});

Deno.test("A plan's baseline is the one it names, or its first cell", () => {
  assertEquals(baselineOf(checkPlan(plan())), "base");
  assertEquals(baselineOf(checkPlan(plan({ baseline: "less" }))), "less");
});

Deno.test("A plan takes tokenizers that every machine has, and a cell one of its own", () => {
  const tokenizers = ["ascii", "bytes", "gpt2", "bpe:512", "bpe:512:llama3"];
  const cells = tokenizers.map((tokenizer, i) => ({ name: `${i}`, tokenizer }));
  const checked = checkPlan(plan({ cells }));
  assertEquals(
    trialsOf(checked).slice(0, 5).map(({ setting }) => setting.tokenizer),
    tokenizers as PlanTokenizer[],
  );
  assertEquals(lossUnit(checked), "bits per character");
  assertEquals(lossUnit(checkPlan(plan())), "nats per token");
  const same = plan({ tokenizer: "bpe:300", cells: [{ name: "a" }] });
  assertEquals(lossUnit(checkPlan(same)), "nats per token");
  const of = checkPlan(plan({ documents: "\n" }));
  assertEquals(trialsOf(of)[0]!.setting.documents, "\n");
});

const mistakes: readonly [string, object, string][] = [
  [
    "a tokenizer of a file",
    { tokenizer: "./tokenizer.json" },
    'tokenizer ("./tokenizer.json") of the plan is none of ascii, chars, bytes, gpt2 and bpe:N',
  ],
  [
    "a size that there is not",
    { cells: [{ name: "a", tokenizer: "bpe:9" }] },
    'tokenizer ("bpe:9") of cell a is not bpe: and a number from 256 to 65536',
  ],
  ["texts of different tokens to be measured", {
    measure: "works",
    cells: [{ name: "a" }, { name: "b", tokenizer: "bytes" }],
  }, "cells with different tokenizers have losses and samples to compare"],
  ["documents without a text between them", { documents: "" }, "documents is"],
  ["an impossible model", {
    cells: [{ name: "odd", model: { nEmbd: 9 } }],
  }, "trial odd.s1: nEmbd (9) is not a multiple of nHead (2)"],
  ["a field that there is not", {
    cells: [{ name: "a", train: { speed: 1 } }],
  }, "trial a.s1: speed is not a field of its configuration"],
  [
    "a misspelt key",
    { cells: [{ name: "a", modle: {} }] },
    "modle is not a field of cell a",
  ],
  ["a name that leaves its folder", {
    cells: [{ name: "../a" }],
  }, 'the cell name "../a" is not letters'],
  [
    "two cells of one name",
    { cells: [{ name: "a" }, { name: "a" }] },
    "two cells are called a",
  ],
  [
    "a baseline that is no cell",
    { baseline: "b" },
    "the baseline b is no cell",
  ],
  [
    "one seed twice",
    { seeds: [1, 1] },
    "the seeds of the plan are not a list of different numbers",
  ],
  [
    "a seed that is none",
    { seeds: [-1] },
    "trial base.s-1: seed (-1) is not an integer from 0",
  ],
  ["no cells", { cells: [] }, "it has no cells"],
  ["no data", { cells: [{ name: "a", dataShare: 0 }] }, "dataShare (0)"],
  ["an unknown tokenizer", { tokenizer: "words" }, 'tokenizer ("words")'],
  ["a stray field", { author: "me" }, "author is not a field of a plan"],
];

for (const [what, changes, reason] of mistakes) {
  Deno.test(`A plan with ${what} is refused`, () => {
    assertThrows(() => checkPlan(plan(changes)), RangeError, reason);
  });
}

Deno.test("A value that is not a plan is refused", () => {
  for (const value of [null, 1, "plan", [], {}]) {
    assertThrows(() => checkPlan(value), RangeError, "Cannot use this plan");
  }
});

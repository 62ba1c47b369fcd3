import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { openBackend } from "../../lib/backends/open.ts";
import { evalWindows } from "../../lib/text/dataset.ts";
import { mergeOutcomes, type Outcome } from "../../lib/lab/outcome.ts";
import { checkPlan, type Plan, trialsOf } from "../../lib/lab/plan.ts";
import { cellResults, cellTable } from "../../lib/lab/table.ts";
import { runTrial, splitsOf } from "../../lib/lab/trial.ts";
import { markdownBlock } from "../../lib/report/markdown.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";

const text = "the cat sat on the mat\nand that was that.\n".repeat(20);
const tokenizer = Tokenizer.chars(text);
const tokens = tokenizer.encode(text);

const plan = checkPlan({
  study: "a test",
  about: "Whether trials run.",
  data: "text.txt",
  tokenizer: "chars",
  base: {
    model: { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8 },
    train: { maxSteps: 4, batchSize: 2, evalInterval: 2 },
  },
  seeds: [1, 2],
  cells: [
    { name: "base" },
    { name: "hot", train: { learningRate: 1e30, gradClip: 0 } },
    { name: "little", dataShare: 0.1 },
  ],
});

async function outcomes(): Promise<Outcome[]> {
  await using backend = await openBackend("reference");
  const all: Outcome[] = [];
  for (const trial of trialsOf(plan)) {
    all.push(await runTrial(trial, { backend, tokenizer, tokens }));
  }
  return all;
}

Deno.test("A trial has an outcome, also if it diverges", async () => {
  const all = await outcomes();
  const [base, hot, little] = all;
  assertEquals(base!.steps, 4);
  assertEquals(base!.tokens, 4 * 2 * 8);
  assertEquals(base!.curve.map(({ step }) => step), [2, 4]);
  assertEquals(base!.valLoss, base!.curve[1]!.valLoss);
  assert(hot!.diverged !== undefined, "a learning rate of 1e30 diverges");
  assertEquals([hot!.valLoss, hot!.trainLoss], [null, null]);
  // Other windows are drawn from less text, and the same ones validate.
  assert(little!.valLoss !== null && little!.valLoss !== base!.valLoss);

  const [table] = markdownBlock(cellTable(cellResults(plan, all)));
  const lines = table!.split("\n").slice(2);
  assertEquals(lines.length, 3, table);
  assert(lines[2]!.includes("`hot`"), "what has no loss stands last");
  assert(lines[2]!.includes("2 diverged at step"), lines[2]);
});

Deno.test("An outcome counts the tokens of all micro-batches, and its loss is that of the whole split", async () => {
  await using backend = await openBackend("reference");
  const [trial] = trialsOf({
    ...plan,
    cells: [{ name: "accumulated", train: { gradAccumulation: 3 } }],
  });
  let [loss, flops] = [NaN, NaN];
  const { heldOut } = splitsOf(tokens);
  const outcome = await runTrial(trial!, {
    ...{ backend, tokenizer, tokens },
    onTrained: async (model) => {
      const shape = { blockSize: 8, batchSize: 5 };
      loss = await model.evaluate(evalWindows(heldOut, shape));
      flops = model.flopsPerToken;
    },
  });
  assertEquals(outcome.tokens, 4 * 3 * 2 * 8);
  assertEquals(outcome.flops, outcome.tokens * flops);
  assertAlmostEquals(outcome.valLoss!, loss, 1e-12);
});

Deno.test("A trial on a share of the text trains on what lies next to the validation split", async () => {
  await using backend = await openBackend("reference");
  // Only the last fifth of the text is one letter over and over.
  const letters = [..."bcdef".repeat(160), ..."a".repeat(200)].join("");
  const tokenizer = Tokenizer.chars(letters);
  const tokens = tokenizer.encode(letters);
  const losses = async (dataShare: number) => {
    const trial = trialsOf({
      ...plan,
      cells: [{ name: "part", dataShare }],
    })[0]!;
    const room = { backend, tokenizer, tokens };
    const { valLoss, trainLoss } = await runTrial(trial, room);
    return Math.abs(valLoss! - trainLoss!);
  };
  assert(await losses(0.1) < 1e-9);
  assert(await losses(1) > 1e-2);
});

Deno.test("Merged outcomes are in the plan's order, whatever the order of the lists", async () => {
  const all = await outcomes();
  const shuffled = all.toReversed();
  const doubled = { ...all[0]!, seconds: 1e9 };
  assertEquals(
    mergeOutcomes(plan, [[doubled], shuffled]),
    mergeOutcomes(plan, [all, [doubled]]),
  );
  // The one that took the least time is kept.
  assertEquals(mergeOutcomes(plan, [[doubled], shuffled]), all);
  const foreign = { ...all[0]!, id: "another.s1" };
  assertEquals(mergeOutcomes(plan, [[foreign], all]).length, all.length);
});

Deno.test("An outcome of a plan that has changed since is refused, by what changed", async () => {
  const all = await outcomes();
  const { base, cells } = plan;
  const [first, hot, little] = cells;
  const longer = { ...base, train: { ...base.train, maxSteps: 5 } };
  const narrow = { ...first!, model: { nEmbd: 4 } };
  const unclipped = { ...hot!, train: { learningRate: 1e30 } };
  const changes: [changes: Partial<Plan>, says: string][] = [
    [
      { base: longer },
      "base.s1 ran with maxSteps 4, and the plan has 5",
    ],
    [
      { cells: [narrow, hot!, little!] },
      "base.s1 ran with nEmbd 8, and the plan has 4",
    ],
    [
      { cells: [first!, unclipped, little!] },
      "hot.s1 ran with gradClip 0, and the plan has none",
    ],
    [
      { cells: [first!, hot!, { name: "little" }] },
      "little.s1 ran with dataShare 0.1, and the plan has 1",
    ],
    [{ measure: "sample" }, 'with measure "loss", and the plan has "sample"'],
    [{ tokenizer: "bytes" }, 'with tokenizer "chars"'],
    [{ data: "b.txt" }, 'with data "text.txt", and the plan has "b.txt"'],
  ];
  for (const [change, says] of changes) {
    const changed = { ...plan, ...change };
    assertThrows(() => mergeOutcomes(changed, [all]), RangeError, says);
  }
  // Also if the one that would be kept is right.
  const stale = { ...all[0]!, setting: all[2]!.setting, seconds: 1e9 };
  assertThrows(() => mergeOutcomes(plan, [all, [stale]]), RangeError);
  // Trials may be added and left out.
  const fewer = { ...plan, seeds: [2, 3], cells: [hot!, first!] };
  const kept = mergeOutcomes(fewer, [all]).map(({ id }) => id);
  assertEquals(kept, ["hot.s2", "base.s2"]);
});

Deno.test("A trial that is interrupted has no outcome", async () => {
  await using backend = await openBackend("reference");
  const signal = AbortSignal.abort(new Error("enough"));
  const [trial] = trialsOf(plan);
  await assertRejects(
    () => runTrial(trial!, { backend, tokenizer, tokens, signal }),
    Error,
    "enough",
  );
});

Deno.test("A trial keeps what its model writes, and whether it sees the future", async () => {
  await using backend = await openBackend("reference");
  const room = { backend, tokenizer, tokens, sample: true };
  const [trial] = trialsOf(plan);
  const causal = await runTrial(trial!, room);
  assertEquals(causal.sample!.length, 300);
  assertEquals(causal.causal, true);
  const model = { ...trial!.setting.model, mask: "none" } as const;
  const setting = { ...trial!.setting, model };
  const leaky = await runTrial({ ...trial!, setting }, room);
  assertEquals(leaky.causal, false);
  const silent = await runTrial(trial!, { ...room, sample: false });
  assertEquals([silent.sample, silent.causal], [undefined, undefined]);
});

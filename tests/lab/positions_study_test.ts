import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openBackend } from "../../lib/backends/open.ts";
import { checkPlan, type Plan, trialsOf } from "../../lib/lab/plan.ts";
import { positionFindings } from "../../lib/lab/positions/findings.ts";
import {
  type PositionOutcome,
  runPositionTrial,
} from "../../lib/lab/positions/measure.ts";
import { orderResults } from "../../lib/lab/positions/order.ts";
import { positionsPlan } from "../../lib/lab/positions/plan.ts";
import { answer, positionsDocument } from "../../lib/lab/positions/document.ts";
import { markdown } from "../../lib/report/markdown.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";

const text = "the cat sat on the mat\nand that was that, said the hat.\n"
  .repeat(16);
const tokenizer = Tokenizer.chars(text);
const tokens = tokenizer.encode(text);

/** The study as it is planned, but for its size; a second seed has only what is compared below. */
function smallPlan(): Plan {
  const plan = positionsPlan({ quick: false });
  const model = { ...plan.base.model, blockSize: 16, nEmbd: 16 };
  const train = { ...plan.base.train, maxSteps: 4, batchSize: 2 };
  const cells = plan.cells.map((cell) =>
    ["none", "learned"].includes(cell.name)
      ? cell
      : { ...cell, seeds: [1], train: { maxSteps: cell.train ? 8 : 4 } }
  );
  return checkPlan({ ...plan, base: { model, train }, seeds: [1, 2], cells });
}

async function run(plan: Plan): Promise<PositionOutcome[]> {
  await using backend = await openBackend("wasm", { threads: 1 });
  const outcomes: PositionOutcome[] = [];
  for (const trial of trialsOf(plan)) {
    outcomes.push(
      await runPositionTrial(trial, { backend, tokenizer, tokens }),
    );
  }
  return outcomes;
}

Deno.test("The study of positions measures every cell and sums up its seeds", async () => {
  const plan = smallPlan();
  const outcomes = await run(plan);
  assertEquals(outcomes.length, plan.cells.length + 2);
  for (const { id, valLoss, positions } of outcomes) {
    assertEquals(positions?.losses.length, 16, id);
    // The same windows in the same order as the evaluation's, but for a last one that is no whole one.
    const mean = positions!.losses.reduce((a, b) => a + b) / 16;
    assert(Math.abs(mean - valLoss!) < 0.05, `${id}: ${mean}, ${valLoss}`);
    const long = positions!.longLosses;
    assertEquals(long?.length, id.startsWith("learned") ? undefined : 64, id);
    assert(JSON.stringify(positions).length < 8000, `${id} is too long`);
  }
  // Kept as JSON and read again, nothing is lost.
  const kept = JSON.parse(JSON.stringify(outcomes)) as PositionOutcome[];
  assertEquals(kept, outcomes);

  const findings = positionFindings(plan, kept);
  const [none, learned] = findings.cells;
  const of = (cell: string, seed: number) =>
    kept.find((outcome) => outcome.cell === cell && outcome.seed === seed)!
      .valLoss!;
  assertEquals(none!.worth, undefined);
  const worth = [1, 2].map((seed) => of("none", seed) - of("learned", seed));
  assert(Math.abs(learned!.worth!.mean - (worth[0]! + worth[1]!) / 2) < 1e-12);
  assertEquals(findings.depths.map(({ nLayer }) => nLayer), [1, 2, 3]);
  assertEquals(
    findings.trainings.map(({ tokens }) => tokens),
    [4 * 2 * 16, 8 * 2 * 16],
  );
  assertStringIncludes(learned!.refused!, "it has learned 16 positions");

  await using reference = await openBackend("reference");
  const orders = await orderResults(reference);
  const report = markdown(
    positionsDocument({ plan, outcomes: kept, orders, command: "again" }),
  );
  assert(!/NaN|undefined|Infinity/.test(report), report);
  assertStringIncludes(report, `| none | ${none!.valLoss.mean.toFixed(3)} ± `);
  assertStringIncludes(report, "impossible");
  assertStringIncludes(report, "| no mask, no positions, 2 layers | 0 |");
});

Deno.test("An unfinished study of positions reports what there is", async () => {
  const plan = smallPlan();
  const nothing = positionFindings(plan, []);
  assertEquals([nothing.cells, nothing.depths], [[], []]);
  assertEquals(answer(nothing, []), []);
  const some = await run({
    ...plan,
    seeds: [1],
    cells: plan.cells.filter(({ name }) => name === "none"),
  });
  const report = markdown(
    positionsDocument({ plan, outcomes: some, orders: [], command: "again" }),
  );
  assert(!/NaN|undefined|Infinity/.test(report), report);
});

Deno.test("A diverged trial of positions is in no mean", async () => {
  const plan = smallPlan();
  const hot = { learningRate: 1e30, muonLearningRate: 1e30, gradClip: 0 };
  const outcomes = await run({
    ...plan,
    seeds: [1],
    cells: [{ name: "none", model: { position: "none" }, train: hot }],
  });
  assertEquals(outcomes[0]!.positions, undefined);
  assert(outcomes[0]!.diverged !== undefined);
  assertEquals(positionFindings(plan, outcomes).cells, []);
});

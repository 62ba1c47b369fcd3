import { assert, assertEquals, assertMatch } from "@std/assert";
import { modelConfig } from "../../lib/config/model.ts";
import {
  answerTo,
  armsOf,
  candidates,
  confirmationPlan,
  FRESH_SEEDS,
  paretoFront,
  reachesTarget,
  roundPlan,
  ROUNDS,
  searchNotes,
  smallest,
  survivors,
  together,
} from "../../lib/lab/minimal/search.ts";
import { finished } from "../../lib/lab/outcome.ts";
import { checkPlan, trialsOf } from "../../lib/lab/plan.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { outcomeOf } from "./outcomes.ts";

function search(name: PresetName) {
  return {
    preset: presets[name],
    name,
    data: "text.txt",
    vocabSize: 65,
    arms: 16,
    steps: 400,
    least: 5000,
    most: 80_000,
  };
}

const trained = [
  outcomeOf("a", { parameters: 1000, valLoss: 2.5 }),
  outcomeOf("b", { parameters: 2000, valLoss: 2.6 }),
  outcomeOf("c", { parameters: 3000, valLoss: 2.1 }),
  outcomeOf("d", { parameters: 4000, valLoss: 1.8 }),
  outcomeOf("e", { parameters: 5000, valLoss: 1.9 }),
  outcomeOf("f", { parameters: 500, valLoss: null }),
];

Deno.test("Candidates fill the range of sizes, each in its own part, the same each time", () => {
  for (const name of ["default", "original", "tiny"] as const) {
    const options = search(name);
    const cells = candidates(options);
    assert(cells.length >= 14, `${name}: ${cells.length}`);
    const sizes = cells.map(({ model }) =>
      parameterLayout(
        modelConfig({ ...options.preset.model, ...model, vocabSize: 65 }),
      ).count
    );
    assertEquals(sizes, sizes.toSorted((a, b) => a - b));
    assert(sizes[0]! >= 5000 && sizes.at(-1)! < 80_000);
    assertEquals(candidates(options), cells);
    checkPlan(roundPlan(options, { round: 1, cells }));
  }
});

Deno.test("All configurations of a search see as many tokens in a step", () => {
  const options = search("default");
  for (const { model, train } of candidates(options)) {
    assertEquals(model!.blockSize! * train!.batchSize!, 1024);
  }
});

Deno.test("Each round has fewer configurations, and trains them for longer", () => {
  const options = search("default");
  const cells = candidates(options);
  const steps = [1, 2, 3].map((round) =>
    trialsOf(roundPlan(options, { round, cells }))[0]!.setting.train.maxSteps
  );
  assertEquals(steps, [100, 200, 400]);
  assertEquals([1, 2, 3].map((round) => armsOf(round, 16)), [16, 8, 4]);
  assertEquals(roundPlan(options, { round: ROUNDS, cells }).measure, "works");
  const seeds = trialsOf(confirmationPlan(options, cells)).map(({ seed }) =>
    seed
  );
  assert(seeds.every((seed) => FRESH_SEEDS.includes(seed)));
  assert(
    !FRESH_SEEDS.includes(
      trialsOf(roundPlan(options, { round: 1, cells }))[0]!.seed,
    ),
  );
});

Deno.test("The Pareto front has the models that no smaller model beats", () => {
  const front = paretoFront(finished(trained));
  assertEquals(front.map(({ cell }) => cell), ["a", "c", "d"]);
});

Deno.test("The Pareto front keeps the lowest loss of a size and the smallest size of a loss", () => {
  const outcomes = [
    outcomeOf("high", { parameters: 1000, valLoss: 2.5 }),
    outcomeOf("low", { parameters: 1000, valLoss: 2.4 }),
    outcomeOf("large", { parameters: 2000, valLoss: 2.4 }),
    outcomeOf("twin", { parameters: 1000, valLoss: 2.4 }),
  ];
  const front = (some: typeof outcomes) =>
    paretoFront(finished(some)).map(({ cell }) => cell);
  assertEquals(front(outcomes), ["low"]);
  assertEquals(front(outcomes.toReversed()), ["twin"]);
});

Deno.test("A trial that diverged missed every target", () => {
  const diverged = outcomeOf("a", { parameters: 1, valLoss: null });
  assertEquals(reachesTarget(9, diverged), false);
  assertEquals(reachesTarget(9, { ...diverged, valLoss: 9 }), true);
  assertEquals(reachesTarget(9, { ...diverged, valLoss: 9.001 }), false);
});

Deno.test("Survivors are the front, then the front of the rest", () => {
  const names = (count: number) =>
    survivors(finished(trained), count).map(({ cell }) => cell);
  assertEquals(names(2), ["a", "d"]);
  assertEquals(names(3), ["a", "c", "d"]);
  assertEquals(names(4), ["a", "c", "d", "e"]);
  assertEquals(names(9), ["a", "b", "c", "d", "e"]);
});

Deno.test("The smallest that reaches a target counts if all fresh seeds reach it", () => {
  assertEquals(
    smallest(2.2, trained, 2).map(({ cell }) => cell),
    ["c", "d"],
  );
  const again = (cell: string, parameters: number, losses: readonly number[]) =>
    losses.map((valLoss, i) =>
      outcomeOf(cell, { parameters, valLoss, seed: FRESH_SEEDS[i]! })
    );
  const c = again("c", 3000, [2.1, 2.15, 2.25]);
  const d = again("d", 4000, [1.8, 1.9, 1.85]);
  const answer = answerTo(2.2, { rounds: [trained], confirmed: [...c, ...d] });
  assertEquals(answer.found!.cell, "c");
  assertEquals(answer.winner.map(({ cell }) => cell), ["d", "d", "d"]);
  const none = answerTo(2.2, { rounds: [trained], confirmed: c });
  assertEquals(none.winner, []);
  const partly = answerTo(2.2, {
    rounds: [trained],
    confirmed: d.slice(1),
  });
  assertEquals(partly.winner, [], "a seed is missing");
});

Deno.test("The cheapest to train may be of any round and size", () => {
  const brief = { ...trained[4]!, cell: "brief", flops: 5 };
  const long = { ...trained[3]!, cell: "long", flops: 9 };
  const answer = answerTo(2, { rounds: [[brief], [long]], confirmed: [] });
  assertEquals(answer.cheapest!.cell, "brief");
  assertEquals(answer.found!.cell, "long");
});

Deno.test("Searches together answer with the smallest model of any", () => {
  const searchOf = (cell: string, parameters: number) => {
    const model = { parameters, valLoss: 1.7 };
    return {
      cells: [{ name: cell }],
      rounds: [[], [], [outcomeOf(cell, model)]],
      confirmed: FRESH_SEEDS.map((seed) => outcomeOf(cell, { ...model, seed })),
    };
  };
  const [large, small] = [searchOf("large", 900), searchOf("small", 700)];
  const all = together([large, small, large]);
  assertEquals(all.cells.map(({ name }) => name), ["large", "small"]);
  assertEquals(all.rounds.map(({ length }) => length), [0, 0, 2]);
  assertEquals(all.confirmed.length, 2 * FRESH_SEEDS.length);
  assertEquals(answerTo(1.8, large).winner[0]!.cell, "large");
  assertEquals(answerTo(1.8, all).winner, small.confirmed);
});

Deno.test("A model that sees the future is on no front, survives no round and reaches no target", () => {
  const measured = {
    ...trained[0]!,
    cell: "leaky",
    valLoss: 0.1,
    causal: false,
  };
  const masked = {
    ...trained[0]!,
    cell: "masked",
    valLoss: 0.1,
    setting: { ...trained[0]!.setting, model: { mask: "none" as const } },
  };
  const all = [measured, masked, ...trained];
  const names = (of: readonly { readonly cell: string }[]) =>
    of.map(({ cell }) => cell);
  assertEquals(names(paretoFront(finished(all))), ["a", "c", "d"]);
  assertEquals(names(survivors(finished(all), 9)), ["a", "b", "c", "d", "e"]);
  assertEquals(names(smallest(2.2, all, 2)), ["c", "d"]);
  const again = FRESH_SEEDS.map((seed) => ({ ...masked, seed }));
  const search = { rounds: [all], confirmed: again };
  const answer = answerTo(2.2, search);
  assertEquals(answer.winner, []);
  assertEquals([answer.found!.cell, answer.cheapest!.cell], ["c", "c"]);
  assertEquals(searchNotes({ ...search, answers: [answer] }), [
    "`leaky`, `masked` see the future: their losses mean nothing, and are in no ranking, fit or count.",
  ]);
});

Deno.test("A search counts the interval of a model once, though it answers several targets", () => {
  const again = (cell: string) =>
    FRESH_SEEDS.map((seed, i) =>
      outcomeOf(cell, { parameters: 9, valLoss: 1 + i / 10, seed })
    );
  const search = { rounds: [[]], confirmed: [...again("a"), ...again("b")] };
  const answers = ["a", "a", "b"].map((cell, target) => ({
    ...{ target, found: undefined, cheapest: undefined },
    winner: again(cell),
  }));
  const [note, ...more] = searchNotes({ ...search, answers });
  assertMatch(note!, /^2 intervals are shown here\./);
  assertEquals(more, []);
  const none = { ...answers[0]!, winner: [] };
  assertEquals(searchNotes({ ...search, answers: [none] }), []);
});

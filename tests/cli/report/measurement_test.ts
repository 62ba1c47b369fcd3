import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { habit } from "../../../lib/cli/report/attention.ts";
import {
  inspect,
  placeAmong,
  yardsticksOf,
} from "../../../lib/cli/report/measurement.ts";
import { Model } from "../../../lib/model/model.ts";
import { NgramModel } from "../../../lib/text/ngram.ts";
import { CounterRandom, Purpose } from "../../../kernels/random.ts";
import {
  makeGeneric,
  randomIds,
  variant,
} from "../../../lib/checks/variants.ts";

Deno.test("A passage's losses are the model's, each after up to a block of context", async () => {
  const { config } = variant("position learned");
  await using model = await Model.create(config, { device: "reference" });
  await makeGeneric(model);
  const { vocabSize: V, blockSize: T } = config;
  const tokens = randomIds(60, { vocabSize: V });
  const { passage, prompt, maps } = await inspect(model, tokens, () => false);
  const start = tokens.length - passage.length;
  assertEquals(start, T); // a whole block comes before it
  assertEquals(passage.map(({ id }) => id), [...tokens.subarray(start)]);
  assertEquals(prompt, tokens.slice(start, start + T));
  assertEquals(maps.length, config.nLayer);
  // Windows advance by half a block, and what is predicted is their second half.
  for (const [i, { id, loss, guesses }] of passage.entries()) {
    const window = start + (Math.floor(i / (T / 2)) + 1) * T / 2;
    const from = Math.min(window, tokens.length) - 1 - T;
    const context = tokens.subarray(from, start + i);
    const logits = await model.forward(context, { B: 1, T: context.length });
    const last = Float64Array.from(logits.slice(-V));
    const sum = last.reduce((sum, logit) => sum + Math.exp(logit), 0);
    // Float64's noise in sums of numbers of order 10.
    assertAlmostEquals(loss, Math.log(sum) - last[id]!, 1e-10, `token ${i}`);
    const best = Math.max(...last);
    const order = [...last.keys()].sort((a, b) => last[b]! - last[a]!);
    assertEquals(guesses.map(({ id }) => id), order.slice(0, 3));
    assertAlmostEquals(guesses[0]!.probability, Math.exp(best) / sum, 1e-12);
    assert(guesses[0]!.probability >= guesses[1]!.probability);
  }
});

Deno.test("A text that is shorter than a block has a shorter passage", async () => {
  const { config } = variant("the defaults");
  await using model = await Model.create(config, { device: "reference" });
  for (const length of [2, 3, 5]) {
    const tokens = randomIds(length, config);
    const { passage, prompt } = await inspect(model, tokens, () => true);
    assert(passage.length >= 1 && passage.length < length);
    assert(prompt.length >= 1);
  }
});

Deno.test("A head's habit is where most of its attention goes", () => {
  const T = 6;
  const head = (to: (i: number) => number) => {
    const map = new Float64Array(T * T);
    for (let i = 0; i < T; i++) map[i * T + Math.max(0, to(i))] = 1;
    return map;
  };
  assertEquals(habit(head((i) => i), T), "100 % to itself");
  assertEquals(habit(head((i) => i - 1), T), "100 % to the token before");
  assertEquals(habit(head(() => 0), T), "100 % to the first token");
  const even = Float64Array.from({ length: T * T }, (_, at) => {
    const i = Math.floor(at / T);
    return at % T <= i ? 1 / (i + 1) : 0;
  });
  assertEquals(habit(even, T), "1.5 tokens away on average");
});

Deno.test("A loss is placed between the n-gram models above and below it", () => {
  const yardsticks = [
    { name: "uniform", loss: 4 },
    { name: "bigram", loss: 2.5 },
  ];
  assertEquals(placeAmong(yardsticks, 5), "above uniform (4.00)");
  assertEquals(
    placeAmong(yardsticks, 3),
    "between uniform (4.00) and bigram (2.50)",
  );
  // One that is reached is not beaten.
  assertEquals(
    placeAmong(yardsticks, 2.5),
    "between uniform (4.00) and bigram (2.50)",
  );
  assertEquals(placeAmong(yardsticks, 4), "above uniform (4.00)");
  assertEquals(
    placeAmong(yardsticks, 2),
    "below bigram (2.50), the best that counting does here",
  );
});

Deno.test("Yardsticks are counted on one split and measured on the other", () => {
  const random = new CounterRandom(1, Purpose.sample);
  const text = (from: number) =>
    Int32Array.from({ length: 500 }, (_, i) => random.below(3, i, from));
  const [train, val] = [text(0), text(1)];
  const found = yardsticksOf({ training: train, heldOut: val }, 3);
  assertEquals(found.map(({ name }) => name), [
    ...["uniform", "unigram", "bigram", "trigram", "5-gram"],
  ]);
  for (const [i, order] of [1, 2, 3, 5].entries()) {
    const counts = NgramModel.fit(train, { order, vocabSize: 3 });
    assertEquals(found[i + 1]!.loss, counts.loss(val));
  }
  assertEquals(found[0]!.loss, Math.log(3));
});

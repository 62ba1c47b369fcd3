import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Examiner,
  measureOwnText,
  type Rung,
  type RungName,
  rungValue,
} from "../../lib/lab/works.ts";
import { Model } from "../../lib/model/model.ts";
import { NgramModel } from "../../lib/text/ngram.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { play } from "./play.ts";

const text = play(300_000);
const tokenizer = Tokenizer.chars(text);
const tokens = tokenizer.encode(text);
const training = tokens.subarray(0, 270_000);
const heldOut = tokens.subarray(270_000);
const examiner = new Examiner({ training, heldOut, tokenizer });
const ladder = examiner.ladder();

function rung(name: Rung["name"]): Rung {
  return ladder.find((rung) => rung.name === name)!;
}

Deno.test("The first rungs are the losses of n-gram models, up to 5-grams", () => {
  const counted = ladder.slice(0, 5);
  assertEquals(counted.map(({ name }) => name), [
    "uniform",
    "unigram",
    "bigram",
    "trigram",
    "5-gram",
  ]);
  const losses = counted.map(({ threshold }) => threshold);
  assertEquals(losses[0], Math.log(tokenizer.vocabSize));
  assertEquals(losses, losses.toSorted((a, b) => b - a));
  for (const [i, order] of [1, 2, 3, 5].entries()) {
    const { vocabSize } = tokenizer;
    const counts = NgramModel.fit(training, { order, vocabSize });
    assertEquals(losses[i + 1], counts.loss(heldOut));
  }
  assert(rungValue(rung("bigram"), { valLoss: losses[3]! })!.reached);
  assert(!rungValue(rung("bigram"), { valLoss: losses[2]! })!.reached);
});

Deno.test("A value that equals the threshold misses a rung with the relation below, and reaches any other", () => {
  const own = {
    spells: 0.5,
    formats: 0,
    pairs: 0,
    triples: 0,
    longestCopy: 7,
    gap: 0.5,
  };
  const reached = (
    name: RungName,
    relation: Rung["relation"],
    threshold: number,
  ) =>
    rungValue({ name, relation, threshold, claim: "" }, { valLoss: 2, own })
      ?.reached;
  assertEquals([2, 2.001].map((x) => reached("bigram", "below", x)), [
    false,
    true,
  ]);
  assertEquals([0.5, 0.501].map((x) => reached("spells", "at least", x)), [
    true,
    false,
  ]);
  assertEquals([7, 6.999].map((x) => reached("memory", "at most", x)), [
    true,
    false,
  ]);
  assertEquals([0.5, 0.499].map((x) => reached("honest", "at most", x)), [
    true,
    false,
  ]);
});

Deno.test("A rung that was not measured has no value", () => {
  for (const { name } of ladder.slice(5)) {
    assertEquals(rungValue(rung(name), { valLoss: 1 }), undefined);
  }
});

Deno.test("The held-out text sets the thresholds of words, speeches and phrases", () => {
  // Every word of this language is in its training text, and every speech well
  // formed but for the few with the longest and the shortest lines.
  assertEquals(rung("spells").threshold, 1);
  assert(rung("formats").threshold > 0.9);
  assert(rung("pairs").threshold > 0);
  assert(rung("spells").fiveGram! < 1, "a 5-gram model runs words together");
});

Deno.test("The worst of five parts sets a threshold: noise in one, a copy in another", () => {
  const size = heldOut.length / 5;
  const random = new CounterRandom(2, Purpose.sample);
  const uneven = heldOut.slice();
  for (let i = 0; i < size; i++) {
    uneven[size + i] = random.below(tokenizer.vocabSize, i, 0);
  }
  uneven.set(training.subarray(0, size), 3 * size);
  const examiner = new Examiner({ training, heldOut: uneven, tokenizer });
  const thresholds = new Map(
    examiner.ladder().map(({ name, threshold }) => [name, threshold]),
  );
  assert(thresholds.get("spells")! < 0.5, `${thresholds.get("spells")}`);
  for (const name of ["formats", "pairs", "triples"] as const) {
    assertEquals(thresholds.get(name), 0, name);
  }
  assertEquals(thresholds.get("memory"), examiner.length);
});

Deno.test("Noise reaches no rung about text", () => {
  const random = new CounterRandom(1, Purpose.sample);
  const noise = examiner.prompts.map((_, row) =>
    Int32Array.from(
      { length: examiner.length },
      (_, i) => random.below(tokenizer.vocabSize, i, row),
    )
  );
  const own = { ...examiner.abilities(noise), gap: 0 };
  for (const name of ["spells", "formats", "pairs", "triples"] as const) {
    assertEquals(rungValue(rung(name), { valLoss: 4, own })!.reached, false);
  }
  assert(rungValue(rung("memory"), { valLoss: 4, own })!.reached);
});

Deno.test("A copy of the training text reaches spells, but not memory", () => {
  const copies = examiner.prompts.map((_, row) =>
    training.subarray(row * 5000, row * 5000 + examiner.length)
  );
  const own = { ...examiner.abilities(copies), gap: 0 };
  assertEquals(own.longestCopy, examiner.length);
  assert(rungValue(rung("spells"), { valLoss: 1, own })!.reached);
  assert(!rungValue(rung("memory"), { valLoss: 1, own })!.reached);
  assert(!rungValue(rung("pairs"), { valLoss: 1, own })!.reached);
});

Deno.test("A text that is too short to be measured is refused", () => {
  assertThrows(
    () =>
      new Examiner({ training, heldOut: heldOut.subarray(0, 999), tokenizer }),
    RangeError,
    "on 999 tokens of held-out text: needs at least 30000",
  );
});

Deno.test("A model's text is compared with as many predicted tokens", async () => {
  const { vocabSize } = tokenizer;
  await using model = await Model.create(
    { vocabSize, blockSize: 32, nLayer: 1, nHead: 1, nEmbd: 4 },
    { device: "reference" },
  );
  const { forward } = model;
  let predicted = 0;
  model.forward = (tokens, shape) => {
    predicted += tokens.length;
    return forward.call(model, tokens, shape);
  };
  const { texts, own } = await measureOwnText(model, { examiner, heldOut });
  const written = texts.reduce((sum, { length }) => sum + length, 0);
  assertEquals(written, examiner.prompts.length * examiner.length);
  assert(predicted >= written && predicted < 1.1 * written, `${predicted}`);
  assert(Number.isFinite(own.gap));
});

/** Measures of text against texts whose worth is known. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertLess,
} from "@std/assert";
import { NgramModel } from "../../lib/text/ngram.ts";
import {
  copyingOf,
  driftOf,
  scorePredictions,
  scoreTexts,
  spreadWindows,
} from "../../lib/text/quality.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";

const V = 6;
const random = new CounterRandom(4, Purpose.sample);

/** A token that depends on the one before it: its successor three times in four. */
function follow(token: number, step: number, index: number): number {
  return random.uniform(step, index) < 0.75
    ? (token + 1) % V
    : random.below(V, step + 1, index);
}

/** Such a text. */
function chain(length: number, step: number): Int32Array {
  const tokens = new Int32Array(length);
  for (let i = 1; i < length; i++) {
    tokens[i] = follow(tokens[i - 1]!, 2 * step, i);
  }
  return tokens;
}

Deno.test("Windows are spread over a text from its beginning to its end", () => {
  const tokens = Int32Array.from({ length: 10 }, (_, i) => i);
  const windows = spreadWindows(tokens, { count: 3, length: 4 });
  assertEquals(windows.map((window) => [...window]), [
    [0, 1, 2, 3],
    [3, 4, 5, 6],
    [6, 7, 8, 9],
  ]);
  const whole = spreadWindows(tokens, { count: 2, length: 99 });
  assertEquals(whole, [tokens, tokens]);
  assertEquals(spreadWindows(tokens, { count: 1, length: 2 }), [
    Int32Array.of(0, 1),
  ]);
});

Deno.test("The score of texts is the mean over tokens, its deviation that of texts", () => {
  const scorer = NgramModel.fit(chain(3000, 1), { order: 2, vocabSize: V });
  const texts = [chain(40, 2), chain(10, 3)];
  const [a, b] = texts.map((text) => scorer.loss(text)) as [number, number];
  const { mean, deviation, tokens } = scoreTexts(scorer, texts);
  assertEquals(tokens, 39 + 9);
  assertAlmostEquals(mean, (39 * a + 9 * b) / 48, 1e-12);
  assertAlmostEquals(deviation, Math.abs(a - b) / Math.SQRT2, 1e-12);
});

Deno.test("The score of predictions that came true is that of the text", () => {
  for (const order of [1, 2, 3, 5]) {
    const scorer = NgramModel.fit(chain(3000, 1), { order, vocabSize: V });
    const texts = [chain(40, 2), chain(40, 3)];
    const drawn = texts.map((text) => text.subarray(1));
    const expected = scoreTexts(scorer, texts);
    const actual = scorePredictions(scorer, texts, drawn);
    assertAlmostEquals(actual.mean, expected.mean, 1e-12);
    assertAlmostEquals(actual.deviation, expected.deviation, 1e-12);
  }
});

Deno.test("Drift is small for a model that learned from the past, and large for one that saw its targets", () => {
  const scorer = NgramModel.fit(chain(20_000, 1), { order: 3, vocabSize: V });
  const texts = spreadWindows(chain(9000, 7), { count: 200, length: 32 });
  const heldOut = scoreTexts(scorer, texts);
  const drift = (
    predict: (text: Int32Array, i: number, row: number) => number,
    goOn: (token: number, i: number, row: number) => number,
  ) => {
    const drawn = texts.map((text, row) =>
      Int32Array.from({ length: 31 }, (_, i) => predict(text, i, row))
    );
    const own = texts.map((text, row) => {
      const written = [text[0]!];
      for (let i = 0; i < 31; i++) written.push(goOn(written[i]!, i, row));
      return Int32Array.from(written);
    });
    return driftOf({
      own: scoreTexts(scorer, own),
      predicted: scorePredictions(scorer, texts, drawn),
      heldOut,
    });
  };
  const learned = drift(
    (text, i, row) => follow(text[i]!, 100 + 2 * row, i),
    (token, i, row) => follow(token, 5000 + 2 * row, i),
  );
  assertLess(Math.abs(learned.gap), learned.allowed / 2);
  const guess = (row: number, i: number) => random.below(V, 9000 + row, i);
  const ignorant = drift(
    (_text, i, row) => guess(row, i),
    (_token, i, row) => guess(row, 50 + i),
  );
  assertLess(ignorant.gap, ignorant.allowed); // bad, and no worse on its own
  const peeping = drift(
    (text, i) => text[i + 1]!,
    (_token, i, row) => guess(row, i),
  );
  assertAlmostEquals(peeping.predicted.mean, heldOut.mean, 1e-12);
  assertGreater(peeping.gap, peeping.allowed);
});

Deno.test("Copying is compared with the span that the held-out text shares", () => {
  const training = "a rose is a rose is a rose. and so is a tulip.";
  const heldOut = "the tulip is a rose too.";
  const { longest, natural } = copyingOf("I say: rose is a rose, no?", {
    training,
    heldOut,
  });
  assertEquals(longest, " rose is a rose");
  assertEquals(natural, " is a rose ".length);
  assert(longest.length > natural);
});

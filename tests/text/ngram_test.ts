import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import { NgramModel } from "../../lib/text/ngram.ts";
import { randomIds } from "../../lib/checks/variants.ts";

const vocabSize = 5;
const text = randomIds(300, { vocabSize, seed: 4 }).map((x, i) =>
  i % 3 === 0 ? x : (x * i) % vocabSize
);

/** The definition, with counts made anew by looking through the whole text. */
function byDefinition(context: number[], token: number): number {
  const followers = [...text].filter((_, at) =>
    at >= context.length &&
    context.every((c, i) => text[at - context.length + i] === c)
  );
  const shorter = context.length === 0
    ? 1 / vocabSize
    : byDefinition(context.slice(1), token);
  const kinds = new Set(followers).size;
  if (kinds === 0) return shorter;
  const count = followers.filter((each) => each === token).length;
  return (count + kinds * shorter) / (followers.length + kinds);
}

Deno.test("NgramModel gives Witten-Bell's probabilities", () => {
  for (const order of [1, 2, 3, 4]) {
    const model = NgramModel.fit(text, { order, vocabSize });
    for (let at = 0; at < 60; at++) {
      const context = [...text.subarray(Math.max(0, at - order + 1), at)];
      const longer = [...text.subarray(0, at)];
      for (let token = 0; token < vocabSize; token++) {
        const expected = byDefinition(context, token);
        assertAlmostEquals(model.probability(longer, token), expected, 1e-12);
      }
    }
  }
});

Deno.test("NgramModel's probabilities add up to 1, even after unseen contexts", () => {
  const model = NgramModel.fit(text.filter((x) => x !== 2), {
    order: 3,
    vocabSize,
  });
  for (const context of [[], [0], [2], [2, 2], [1, 2], [2, 1], [4, 0, 3]]) {
    let sum = 0;
    for (let token = 0; token < vocabSize; token++) {
      const probability = model.probability(context, token);
      assert(probability > 0);
      sum += probability;
    }
    assertAlmostEquals(sum, 1, 1e-12, `after ${context}`);
  }
});

Deno.test("NgramModel's loss is the mean over all tokens but the first", () => {
  const model = NgramModel.fit(text, { order: 3, vocabSize });
  const some = text.subarray(7, 27);
  let sum = 0;
  for (let at = 1; at < some.length; at++) {
    sum -= Math.log(model.probability(some.subarray(0, at), some[at]!));
  }
  assertAlmostEquals(model.loss(some), sum / 19, 1e-12);
});

Deno.test("NgramModel of an empty text gives all tokens the same probability", () => {
  const model = NgramModel.fit(new Int32Array(), { order: 3, vocabSize });
  assertEquals(model.probability([1, 2], 3), 1 / vocabSize);
  assertAlmostEquals(model.loss(text), Math.log(vocabSize), 1e-12);
});

Deno.test("NgramModel distinguishes n-grams of large vocabularies and long contexts", () => {
  // Two contexts of 15 tokens each that differ in the oldest one only.
  const tail = Array.from({ length: 14 }, (_, i) => 2 ** 24 - 1 - i);
  const tokens = Int32Array.from([...[7, ...tail, 1], ...[8, ...tail, 2]]);
  const model = NgramModel.fit(tokens, { order: 16, vocabSize: 2 ** 24 });
  assert(model.probability([7, ...tail], 1) > 0.4);
  assert(
    model.probability([8, ...tail], 1) < model.probability([7, ...tail], 1) / 2,
  );
});

Deno.test("NgramModel refuses options and tokens out of range", () => {
  const fit = (options: { order?: number; vocabSize?: number }) => () =>
    NgramModel.fit(text, { order: 2, vocabSize, ...options });
  assertThrows(fit({ order: 0 }), RangeError, "order (0)");
  assertThrows(fit({ order: 17 }), RangeError, "order (17)");
  assertThrows(fit({ vocabSize: 0 }), RangeError, "vocabSize (0)");
  assertThrows(fit({ vocabSize: 4 }), RangeError, "token 4");
  const model = fit({})();
  assertThrows(() => model.probability([9], 1), RangeError, "token 9");
  assertThrows(() => model.probability([1], -1), RangeError, "token -1");
  assertThrows(() => model.loss(Int32Array.of(1)), RangeError, "1 tokens");
});

Deno.test("NgramModel counts more n-grams than a Map has entries, in any token array", () => {
  // 1,200,000 random tokens have about 17.8 million n-grams of 1 to 16 tokens.
  const tokens = Uint8Array.from(
    randomIds(1_200_000, { vocabSize: 200, seed: 5 }),
  );
  const model = NgramModel.fit(tokens, { order: 16, vocabSize: 200 });
  // After 15 tokens that occur once, Witten-Bell gives 1/2 and more to what followed.
  assert(model.probability(tokens.subarray(1000, 1015), tokens[1015]!) > 0.5);
  const same = NgramModel.fit(Int32Array.from(tokens.subarray(0, 5000)), {
    order: 4,
    vocabSize: 200,
  });
  assertEquals(
    NgramModel.fit(tokens.subarray(0, 5000), { order: 4, vocabSize: 200 })
      .loss(tokens.subarray(5000, 6000)),
    same.loss(tokens.subarray(5000, 6000)),
  );
});

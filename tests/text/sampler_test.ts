import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertLess,
  assertThrows,
} from "@std/assert";
import { decodeSafetensors } from "../../lib/formats/safetensors.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { Sampler, type SamplerOptions } from "../../lib/text/sampler.ts";
import type { Setting } from "../../tools/verify/sampling.ts";

const golden = decodeSafetensors(
  await Deno.readFile(
    new URL("../golden/sampler.safetensors", import.meta.url),
  ),
);
const ROWS = 8;
const V = 41;

/** Two float64 programs sum up to 41 probabilities in different order: 41 times 1e-16, and room. */
const ROUNDING = 1e-13;

function goldenValues(name: string): Float32Array | Float64Array {
  const tensor = golden.tensors.get(name);
  assert(tensor?.dtype === "F32" || tensor?.dtype === "F64", name);
  return tensor.data;
}

/** The tensor of the distribution with these options. */
function recorded(options: SamplerOptions): string {
  const wanted = JSON.stringify(options);
  return settings.find(({ options }) => JSON.stringify(options) === wanted)!
    .tensor;
}

function row(
  values: Float32Array | Float64Array,
  index: number,
): Float32Array | Float64Array {
  return values.subarray(index * V, (index + 1) * V);
}

/** The tokens that can be drawn. */
function support(probabilities: Float32Array | Float64Array): number[] {
  return [...probabilities.keys()].filter((id) => probabilities[id]! > 0);
}

function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
): void {
  assertEquals(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    assertAlmostEquals(
      actual[i]!,
      expected[i]!,
      ROUNDING,
      `${what}, place ${i}`,
    );
  }
}

const settings: readonly Setting[] = JSON.parse(golden.metadata["settings"]!);

Deno.test("Sampler gives the recorded distributions", () => {
  assertEquals(settings.length, 17);
  for (const { tensor, options } of settings) {
    const sampler = new Sampler(options as SamplerOptions);
    for (let r = 0; r < ROWS; r++) {
      const actual = sampler.probabilities(row(goldenValues("logits"), r));
      const expected = row(goldenValues(tensor), r);
      assertClose(actual, expected, `${JSON.stringify(options)}, row ${r}`);
      const kept = support(expected);
      assertEquals(
        support(actual),
        kept,
        `${JSON.stringify(options)}, row ${r}`,
      );
    }
  }
});

Deno.test("Sampler's plain distribution is the softmax", () => {
  const sampler = new Sampler();
  for (let r = 0; r < ROWS; r++) {
    const actual = sampler.probabilities(row(goldenValues("logits"), r));
    assertClose(
      actual,
      row(goldenValues(recorded({ temperature: 1 })), r),
      `row ${r}`,
    );
  }
});

Deno.test("Sampler's top-p keeps in each row of a batch what it keeps in that row alone", () => {
  // Where rows are indexed together, each also keeps the ranks at which the
  // others cross p: at least five tokens in every row.
  const sampler = new Sampler({ temperature: 0.7, topP: 0.5, seed: 2 });
  const drawn = Array.from({ length: ROWS }, () => new Set<number>());
  for (let step = 0; step < 2000; step++) {
    const ids = sampler.sampleBatch(goldenValues("logits"), {
      rows: ROWS,
      step,
    });
    ids.forEach((id, r) => drawn[r]!.add(id));
  }
  assertEquals(drawn.map((ids) => ids.size), [4, 2, 1, 9, 1, 1, 21, 1]);
  for (const [r, ids] of drawn.entries()) {
    const expected = row(
      goldenValues(recorded({ temperature: 0.7, topP: 0.5 })),
      r,
    );
    for (const id of ids) assert(expected[id]! > 0, `row ${r} drew ${id}`);
  }
});

Deno.test("Sampler.sampleBatch draws for each row what sample draws for it alone", () => {
  const logits = goldenValues("logits");
  const sampler = new Sampler({
    temperature: 1.5,
    topK: 50,
    repetitionPenalty: 1.3,
    seed: 9,
  });
  const histories = Array.from({ length: ROWS }, (_, r) => [r, r + 1, 2 * r]);
  for (let step = 0; step < 50; step++) {
    const batch = sampler.sampleBatch(logits, { rows: ROWS, step, histories });
    const alone = histories.map((history, r) =>
      sampler.sample(row(logits, r), { step, row: r, history })
    );
    assertEquals([...batch], alone);
  }
});

Deno.test("Sampler's top-k keeps the k largest logits, of equal ones the first", () => {
  const logits = Float32Array.of(2, 5, 5, 1, 5);
  const kept = (
    topK: number,
  ) => [...new Sampler({ topK }).probabilities(logits)];
  assertEquals(kept(1), [0, 1, 0, 0, 0]);
  assertEquals(kept(2), [0, 1 / 2, 1 / 2, 0, 0]);
  assertEquals(kept(3), [0, 1 / 3, 1 / 3, 0, 1 / 3]);
  assertEquals(kept(4)[3], 0);
  assert(kept(5).every((p) => p > 0));
  assertEquals(kept(99), kept(5));
});

Deno.test("Sampler's top-p includes the token that crosses p", () => {
  // Probabilities 1/2, 1/4, 1/8, 1/8, whose sums are exact in binary.
  const logits = Float64Array.of(2, 1, 0, 0).map((x) => x * Math.LN2);
  const count = (topP: number) =>
    support(new Sampler({ topP }).probabilities(logits)).length;
  assertEquals([-1, 0, 0.5].map(count), [1, 1, 1]);
  assertEquals([0.51, 0.75].map(count), [2, 2]);
  assertEquals([0.76, 0.875].map(count), [3, 3]);
  assertEquals([0.99, 1, 7].map(count), [4, 4, 4]);
});

Deno.test("Sampler's min-p keeps what has that share of the largest probability", () => {
  const logits = Float64Array.of(0, 2, 1, -3).map((x) => x * Math.LN2); // 1/4, 1, 1/2, 1/32 of it
  const kept = (minP: number) =>
    support(new Sampler({ minP }).probabilities(logits));
  assertEquals(kept(0), [0, 1, 2, 3]);
  assertEquals(kept(0.1), [0, 1, 2]);
  assertEquals(kept(0.3), [1, 2]);
  assertEquals(kept(1), [1]);
});

Deno.test("Sampler applies top-k before top-p", () => {
  // 0.4, 0.3, 0.2, 0.1. Two of the first are 4/7 and 3/7: 0.5 is reached by
  // the first alone, but of all four only by two.
  const logits = Float64Array.of(0.4, 0.3, 0.2, 0.1).map(Math.log);
  assertEquals([...new Sampler({ topK: 2, topP: 0.5 }).probabilities(logits)], [
    1,
    0,
    0,
    0,
  ]);
});

Deno.test("Sampler applies temperature before top-p", () => {
  const logits = Float64Array.of(0.4, 0.3, 0.2, 0.1).map(Math.log);
  const count = (temperature: number) =>
    support(new Sampler({ temperature, topP: 0.65 }).probabilities(logits))
      .length;
  assertEquals(count(1), 2); // 0.4 + 0.3
  assertEquals(count(2), 3); // 0.33 + 0.28 + 0.23, as the square roots of the above
  assertEquals(count(0.25), 1); // 0.72, as the fourth powers
});

Deno.test("Sampler's repetition penalty divides positive logits and multiplies negative ones", () => {
  const penalised = new Sampler({ repetitionPenalty: 2 });
  const expected = new Sampler().probabilities(
    Float64Array.of(1, -2, 0, 1, -Infinity),
  );
  const logits = Float64Array.of(2, -1, 0, 1, -Infinity);
  assertEquals(penalised.probabilities(logits, [0, 1, 2, 4]), expected);
  // A token counts once, however often it occurred.
  assertEquals(
    penalised.probabilities(logits, [0, 1, 0, 2, 1, 0, 4]),
    expected,
  );
  assertEquals(
    penalised.probabilities(logits),
    new Sampler().probabilities(logits),
  );
});

Deno.test("Sampler applies the repetition penalty before it ranks", () => {
  const logits = Float32Array.of(3, 2, 1);
  const greedy = new Sampler({ temperature: 0, repetitionPenalty: 2 });
  assertEquals(greedy.sample(logits, { step: 0, history: [0] }), 1);
  const first = new Sampler({ topK: 1, repetitionPenalty: 2 });
  assertEquals([...first.probabilities(logits, [0])], [0, 1, 0]);
});

Deno.test("Sampler is greedy at temperature 0, the first of equals", () => {
  const sampler = new Sampler({ temperature: 0 });
  const logits = Float32Array.of(-1, 4, 4, 3);
  assertEquals([...sampler.probabilities(logits)], [0, 1, 0, 0]);
  for (let step = 0; step < 100; step++) {
    assertEquals(sampler.sample(logits, { step }), 1);
  }
});

Deno.test("Sampler approaches greedy as the temperature falls, without overflow", () => {
  const sampler = new Sampler({ temperature: 1e-300 });
  const logits = Float32Array.of(1000, -1000, 1001);
  assertEquals([...sampler.probabilities(logits)], [0, 0, 1]);
});

Deno.test("Sampler never draws a token of logit -inf", () => {
  const sampler = new Sampler({ temperature: 3, seed: 4 });
  const logits = row(goldenValues("logits"), 4); // 30 of 41 are -inf
  for (let step = 0; step < 3000; step++) {
    assert(logits[sampler.sample(logits, { step })]! > -Infinity);
  }
});

Deno.test("Sampler draws the same token for the same seed, step and row, in any order", () => {
  const logits = row(goldenValues("logits"), 0);
  const draw = (seed: number, step: number, at: number) =>
    new Sampler({ seed }).sample(logits, { step, row: at });
  const draws = Array.from({ length: 40 }, (_, step) => draw(1, step, 0));
  const sampler = new Sampler({ seed: 1 });
  const backwards = Array.from(
    { length: 40 },
    (_, i) => sampler.sample(logits, { step: 39 - i }),
  );
  assertEquals(backwards.reverse(), draws);
  // 41 nearly even choices: 40 equal draws in a row do not happen by chance.
  assert(draws.some((id, step) => id !== draw(2, step, 0)));
  assert(draws.some((id, step) => id !== draw(1, step, 1)));
});

/** Σ (observed - expected)² / expected. */
function chiSquare(
  observed: readonly number[],
  expected: readonly number[],
): number {
  return observed.reduce(
    (sum, count, i) => sum + (count - expected[i]!) ** 2 / expected[i]!,
    0,
  );
}

Deno.test("Sampler draws tokens as often as their probabilities say", () => {
  const logits = Float32Array.from({ length: 12 }, (_, i) => Math.sin(5 * i));
  const sampler = new Sampler({ temperature: 0.7, topK: 10, seed: 11 });
  const probabilities = sampler.probabilities(logits);
  const draws = 20_000;
  const counts = Array.from(probabilities, () => 0);
  for (let step = 0; step < draws; step++) {
    const id = sampler.sample(logits, { step });
    counts[id] = counts[id]! + 1;
  }
  const possible = [...probabilities.keys()].filter((id) =>
    probabilities[id]! > 0
  );
  assertEquals(possible.length, 10);
  assertEquals(counts.reduce((sum, count) => sum + count), draws);
  const observed = possible.map((id) => counts[id]!);
  const expected = possible.map((id) => probabilities[id]! * draws);
  assertEquals(
    observed.reduce((sum, count) => sum + count),
    draws,
    "an excluded token was drawn",
  );
  // 9 degrees of freedom: a right sampler exceeds 33.7 with one seed in 10,000.
  assertLess(chiSquare(observed, expected), 33.7);
});

Deno.test("Sampler's rows are drawn independently of each other", () => {
  const sampler = new Sampler({ seed: 12 });
  const draws = 16_000;
  const joint = Array.from({ length: 16 }, () => 0);
  for (let step = 0; step < draws; step++) {
    const [first, second] = sampler.sampleBatch(new Float32Array(8), {
      rows: 2,
      step,
    });
    const pair = first! * 4 + second!;
    joint[pair] = joint[pair]! + 1;
  }
  // 15 degrees of freedom: independent even rows exceed 44.3 with one seed in 10,000.
  assertLess(chiSquare(joint, joint.map(() => draws / 16)), 44.3);
});

Deno.test("Sampler refuses options out of range, by name and value", () => {
  const refused = (options: ConstructorParameters<typeof Sampler>[0]) =>
    assertThrows(() => new Sampler(options), RangeError).message;
  const cases: [ConstructorParameters<typeof Sampler>[0], RegExp][] = [
    [{ temperature: -0.1 }, /temperature \(-0\.1\)/],
    [{ temperature: NaN }, /temperature \(NaN\)/],
    [{ temperature: Infinity }, /temperature \(Infinity\)/],
    [{ topK: 0 }, /topK \(0\).*\nhint: leave it out/],
    [{ topK: -3 }, /topK \(-3\)/],
    [{ topK: 2.5 }, /topK \(2\.5\)/],
    [{ topP: NaN }, /topP is NaN/],
    [{ minP: -0.1 }, /minP \(-0\.1\)/],
    [{ minP: 1.1 }, /minP \(1\.1\)/],
    [{ repetitionPenalty: 0 }, /repetitionPenalty \(0\)/],
    [{ seed: 1.5 }, /seed \(1\.5\)/],
  ];
  for (const [options, message] of cases) {
    assert(message.test(refused(options)), refused(options));
  }
});

Deno.test("Sampler refuses logits without a softmax", () => {
  const sampler = new Sampler();
  const refuses = (logits: number[], reason: string) =>
    assertThrows(
      () => sampler.sample(Float32Array.from(logits), { step: 0 }),
      RangeError,
      reason,
    );
  refuses([], "0 logits");
  refuses([1, NaN, 2], "the logit of id 1 is NaN");
  refuses([NaN, 1], "the logit of id 0 is NaN");
  refuses([0, 0, Infinity], "the logit of id 2 is Infinity");
  refuses([-Infinity, -Infinity], "all 2 logits are -Infinity");
});

Deno.test("Sampler refuses a history, step or batch that does not fit", () => {
  const sampler = new Sampler({ repetitionPenalty: 1.1 });
  const logits = new Float32Array(12);
  const refuses = (sample: () => unknown, reason: string) =>
    assertThrows(sample, RangeError, reason);
  refuses(() => sampler.probabilities(logits, [12]), "id 12 of the history");
  refuses(() => sampler.probabilities(logits, [-1]), "id -1 of the history");
  refuses(() => sampler.sample(logits, { step: -1 }), "step (-1)");
  refuses(() => sampler.sample(logits, { step: 0, row: 0.5 }), "row (0.5)");
  refuses(
    () => sampler.sampleBatch(logits, { rows: 5, step: 0 }),
    "12 logits are not 5 equal rows",
  );
  refuses(
    () => sampler.sampleBatch(logits, { rows: 0, step: 0 }),
    "12 logits are not 0 equal rows",
  );
  refuses(
    () => sampler.sampleBatch(logits, { rows: 3, step: 0, histories: [[1]] }),
    "1 histories for 3 rows",
  );
});

Deno.test("Sampler draws from few candidates as from their probabilities", () => {
  const values = new CounterRandom(5, Purpose.sample, 1);
  const uniforms = new CounterRandom(9, Purpose.sample);
  for (let step = 0; step < 300; step++) {
    const size = 2 + values.below(60, step, 99);
    // Multiples of a half, so that many are equal; the first few are excluded.
    const logits = Float32Array.from(
      { length: size },
      (_, id) => id < step % 7 - 1 ? -Infinity : values.below(9, step, id) / 2,
    );
    if (logits.every((logit) => logit === -Infinity)) continue;
    const history = [0, size - 1];
    for (const topK of [1, 2, 10, 32, 33]) {
      const sampler = new Sampler({ topK, seed: 9, repetitionPenalty: 1.5 });
      const probabilities = sampler.probabilities(logits, history);
      const u = uniforms.uniform(step, 3);
      let sum = 0;
      const expected = probabilities.findIndex((p) => (sum += p) > u);
      const drawn = sampler.sample(logits, { step, row: 3, history });
      // Rounding may leave the sum of all below u.
      assertEquals(
        drawn,
        expected < 0 ? probabilities.findLastIndex((p) => p > 0) : expected,
      );
    }
  }
});

import {
  assert,
  assertEquals,
  assertLess,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Dataset, type EvalBatch, type Split } from "../../lib/text/dataset.ts";

/** Tokens that are their own positions: a window shows where it was cut. */
function positions(length: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => i);
}

Deno.test("Dataset trains on the first floor(0.9 n) tokens and validates on the rest", () => {
  // The middle one is tiny Shakespeare; nanoGPT's int(0.9 * n) gives the same numbers.
  for (
    const [length, train] of [[110, 99], [1_115_394, 1_003_854], [
      39,
      35,
    ]] as const
  ) {
    const dataset = new Dataset(positions(length), {
      blockSize: 4,
      batchSize: 1,
    });
    assertEquals(dataset.size("train"), train);
    assertEquals(dataset.size("val"), length - train);
    const [first] = dataset.evalBatches("val");
    assertEquals(first!.tokens[0], train);
  }
});

Deno.test("Dataset splits the tokens at trainFraction", () => {
  const dataset = new Dataset(positions(100), {
    blockSize: 4,
    batchSize: 1,
    trainFraction: 0.5,
  });
  assertEquals([dataset.size("train"), dataset.size("val")], [50, 50]);
});

Deno.test("Dataset.batch gives windows of consecutive tokens, and targets one further", () => {
  for (const [blockSize, batchSize] of [[1, 1], [7, 3], [16, 5]] as const) {
    const dataset = new Dataset(positions(200), {
      blockSize,
      batchSize,
      seed: 3,
    });
    const { tokens, targets } = dataset.batch(11);
    assertEquals(tokens.length, batchSize * blockSize);
    for (const [i, token] of tokens.entries()) {
      assertEquals(targets[i], token + 1);
      if (i % blockSize > 0) assertEquals(token, tokens[i - 1]! + 1);
    }
  }
});

Deno.test("Dataset.batch does not depend on earlier calls", () => {
  const options = { blockSize: 8, batchSize: 4, seed: 5 };
  const dataset = new Dataset(positions(1000), options);
  const forwards = [0, 1, 2, 3].map((step) => dataset.batch(step, 1));
  const backwards = [3, 2, 1, 0].map((step) =>
    new Dataset(positions(1000), options).batch(step, 1)
  );
  assertEquals(forwards, backwards.reverse());
});

Deno.test("Dataset.batch differs from step to step, part to part and seed to seed", () => {
  const make = (seed: number) =>
    new Dataset(positions(100_000), { blockSize: 2, batchSize: 4, seed });
  const batch = make(1).batch(0).tokens;
  assertNotEquals(make(1).batch(1).tokens, batch);
  assertNotEquals(make(1).batch(0, 1).tokens, batch);
  assertNotEquals(make(2).batch(0).tokens, batch);
});

Deno.test("Dataset's micro-batches are the rows of one larger batch", () => {
  const make = (batchSize: number) =>
    new Dataset(positions(5000), { blockSize: 6, batchSize });
  const parts = [0, 1, 2].flatMap((
    microStep,
  ) => [...make(4).batch(9, microStep).tokens]);
  assertEquals(parts, [...make(12).batch(9).tokens]);
});

Deno.test("Dataset.batch draws every window of the training part, equally often", () => {
  const dataset = new Dataset(positions(30), {
    blockSize: 7,
    batchSize: 10,
    seed: 1,
  });
  // 27 tokens to train on: windows start at 0 to 19, whose last target is token 26.
  const counts = new Map<number, number>();
  for (let step = 0; step < 1000; step++) {
    const { tokens } = dataset.batch(step);
    for (let row = 0; row < 10; row++) {
      const start = tokens[row * 7]!;
      counts.set(start, (counts.get(start) ?? 0) + 1);
    }
  }
  assertEquals([...counts.keys()].sort((a, b) => a - b), [...positions(20)]);
  const expected = 10_000 / 20;
  const chiSquare = [...counts.values()]
    .reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // 19 degrees of freedom: a uniform generator exceeds 50.8 once in 10,000 seeds.
  assertLess(chiSquare, 50.8);
});

/** Which positions have a target, and how often; checks the inputs on the way. */
function coverage(batches: Iterable<EvalBatch>): Map<number, number> {
  const seen = new Map<number, number>();
  for (const { tokens, targets, count } of batches) {
    let real = 0;
    for (const [i, target] of targets.entries()) {
      assertEquals(tokens[i], target === -1 ? 0 : target - 1);
      if (target === -1) continue;
      real++;
      seen.set(target, (seen.get(target) ?? 0) + 1);
    }
    assertEquals(count, real);
    assert(count > 0);
  }
  return seen;
}

Deno.test("Dataset.evalBatches covers every target of a split exactly once", () => {
  for (const length of [20, 100, 101, 257]) {
    for (
      const [blockSize, batchSize] of [[1, 1], [1, 4], [5, 3], [16, 4], [
        8,
        100,
      ]] as const
    ) {
      const dataset = new Dataset(positions(length), { blockSize, batchSize });
      const train = dataset.size("train");
      const ranges: [Split, number, number][] = [["train", 0, train], [
        "val",
        train,
        length,
      ]];
      for (const [split, first, end] of ranges) {
        const seen = coverage(dataset.evalBatches(split));
        assertEquals([...seen.keys()], [...positions(end).subarray(first + 1)]);
        assert([...seen.values()].every((times) => times === 1));
      }
    }
  }
});

Deno.test("Dataset.evalBatches marks places without a target by -1 and token 0", () => {
  // 6 tokens to validate on: 5 targets, in windows of 3 and 2, in batches of 4 rows.
  const dataset = new Dataset(positions(60), { blockSize: 3, batchSize: 4 });
  const batches = [...dataset.evalBatches("val")];
  assertEquals(batches.length, 1);
  assertEquals([...batches[0]!.tokens], [
    54,
    55,
    56,
    57,
    58,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
  ]);
  assertEquals([...batches[0]!.targets], [
    55,
    56,
    57,
    58,
    59,
    -1,
    -1,
    -1,
    -1,
    -1,
    -1,
    -1,
  ]);
  assertEquals(batches[0]!.count, 5);
});

Deno.test("Dataset.evalBatches can be iterated again, with the same batches", () => {
  const dataset = new Dataset(positions(300), { blockSize: 8, batchSize: 2 });
  const batches = dataset.evalBatches("train");
  assertEquals([...batches].length, 17); // 269 targets in 34 windows
  assertEquals([...batches], [...batches]);
});

Deno.test("Dataset.evalBatches takes maxBatches of evenly spread windows", () => {
  const dataset = new Dataset(positions(10_000), {
    blockSize: 9,
    batchSize: 5,
  });
  const batches = [...dataset.evalBatches("train", { maxBatches: 4 })];
  assertEquals(batches.map(({ count }) => count), [45, 45, 45, 45]);
  const starts = batches.flatMap(({ tokens }) =>
    [0, 9, 18, 27, 36].map((i) => tokens[i]!)
  );
  // 8999 targets in 1000 windows of 9: every 50th window.
  assertEquals(starts, Array.from({ length: 20 }, (_, i) => i * 450));
  assertEquals(batches, [...dataset.evalBatches("train", { maxBatches: 4 })]);
});

Deno.test("Dataset.evalBatches is exhaustive where maxBatches suffices", () => {
  const dataset = new Dataset(positions(500), { blockSize: 8, batchSize: 3 });
  const all = [...dataset.evalBatches("train")];
  assertEquals(
    [...dataset.evalBatches("train", { maxBatches: all.length })],
    all,
  );
  assertEquals([...dataset.evalBatches("train", { maxBatches: 1000 })], all);
});

Deno.test("Dataset refuses a text that is too short, with the number of tokens it needs", () => {
  const { message } = assertThrows(
    () => new Dataset(positions(50), { blockSize: 128, batchSize: 16 }),
    RangeError,
  );
  assertStringIncludes(message, "has 50 tokens");
  assertStringIncludes(
    message,
    "at least 144 (129 to train on and 2 to validate on)",
  );
});

Deno.test("Dataset knows its largest token, and refuses negative ones", () => {
  const make = (token: number) =>
    new Dataset(positions(50).with(49, token), { blockSize: 4, batchSize: 1 });
  assertEquals(make(48).largestToken, 48);
  assertEquals(make(70).largestToken, 70);
  assertThrows(() => make(-1), RangeError, "token -1 is below 0");
});

Deno.test("Dataset accepts the least length that its error names, and no less", () => {
  for (const trainFraction of [0.01, 0.1, 0.5, 0.9, 0.95, 0.999]) {
    for (const blockSize of [1, 2, 8, 9, 17, 64, 128, 1000]) {
      const make = (length: number) =>
        new Dataset(positions(length), {
          blockSize,
          batchSize: 1,
          trainFraction,
        });
      const { message } = assertThrows(() => make(2), RangeError);
      const needed = Number(/at least (\d+) \(/.exec(message)![1]);
      assert(
        make(needed).size("train") > blockSize && make(needed).size("val") >= 2,
      );
      assertThrows(() => make(needed - 1), RangeError, `at least ${needed} `);
    }
  }
});

Deno.test("Dataset refuses options out of range, by name and value", () => {
  const make =
    (options: Partial<ConstructorParameters<typeof Dataset>[1]>) => () =>
      new Dataset(positions(100), { blockSize: 4, batchSize: 2, ...options });
  assertThrows(make({ blockSize: 0 }), RangeError, "blockSize (0)");
  assertThrows(make({ blockSize: 1.5 }), RangeError, "blockSize (1.5)");
  assertThrows(make({ batchSize: NaN }), RangeError, "batchSize (NaN)");
  assertThrows(make({ trainFraction: 1 }), RangeError, "trainFraction (1)");
  assertThrows(make({ trainFraction: 0 }), RangeError, "trainFraction (0)");
  assertThrows(make({ seed: -1 }), RangeError, "seed (-1)");
  const dataset = make({})();
  assertThrows(() => dataset.batch(-1), RangeError, "step (-1)");
  assertThrows(() => dataset.batch(0, 0.5), RangeError, "microStep (0.5)");
  assertThrows(
    () => dataset.batch(0, 2 ** 31),
    RangeError,
    "microStep (2147483648)",
  );
  assertThrows(
    () => dataset.evalBatches("val", { maxBatches: 0 }),
    RangeError,
    "maxBatches (0)",
  );
});

Deno.test("Dataset cuts the same batches from token arrays of any width", () => {
  const ids = Array.from({ length: 500 }, (_, i) => (i * 7) % 200);
  const options = { blockSize: 5, batchSize: 3, seed: 2 };
  const wide = new Dataset(Int32Array.from(ids), options);
  for (const tokens of [Uint8Array.from(ids), Uint16Array.from(ids)]) {
    const dataset = new Dataset(tokens, options);
    assertEquals(dataset.largestToken, wide.largestToken);
    assertEquals(dataset.batch(4), wide.batch(4));
    assertEquals([...dataset.evalBatches("val")], [...wide.evalBatches("val")]);
  }
});

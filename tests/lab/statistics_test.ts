import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
} from "@std/assert";
import {
  countIntervals,
  estimate,
  missesText,
  pairedDifference,
  studentT95,
} from "../../lib/lab/statistics.ts";

Deno.test("An estimate is the mean with the interval of Student's t", () => {
  // Sample deviation 1, t = 4.3026527 with two degrees of freedom: 4.303 / sqrt(3).
  const { mean, margin, count } = estimate([1, 2, 3]);
  assertEquals([mean, count], [2, 3]);
  assertAlmostEquals(margin, 4.3026527297 / Math.sqrt(3), 1e-9);
  assertEquals(estimate([4]), { mean: 4, margin: NaN, count: 1 });
});

Deno.test("Student's t has the published quantiles for any number of degrees of freedom", () => {
  // scipy.stats.t.ppf(0.975, freedom); to three digits in every printed table.
  const quantiles: [freedom: number, t: number][] = [
    [1, 12.7062047362],
    [2, 4.3026527297],
    [3, 3.1824463053],
    [4, 2.7764451052],
    [5, 2.5705818356],
    [10, 2.2281388520],
    [20, 2.0859634473],
    [21, 2.0796138447],
    [22, 2.0738730679],
    [30, 2.0422724563],
    [100, 1.9839715185],
    [1000, 1.9623390808],
    [1_000_000, 1.9599663568],
  ];
  for (const [freedom, t] of quantiles) {
    assertAlmostEquals(studentT95(freedom), t, 1e-8 * t, `${freedom}`);
  }
});

Deno.test("The quantiles of Student's t fall with every degree of freedom", () => {
  let last = Infinity;
  for (let freedom = 1; freedom <= 300; freedom++) {
    const t = studentT95(freedom);
    assert(t < last && t > 1.9599639845400545, `${freedom}: ${t}`);
    last = t;
  }
});

Deno.test("An estimate from 22 numbers is wider than the normal distribution says", () => {
  const values = Array.from({ length: 22 }, (_, i) => i % 2);
  const deviation = Math.sqrt(22 * 0.25 / 21);
  assertAlmostEquals(
    estimate(values).margin,
    2.0796138447 * deviation / Math.sqrt(22),
    1e-9,
  );
});

Deno.test("A paired difference takes only seeds that both have", () => {
  const cell = new Map([[1, 1.5], [2, 2.5], [7, 100]]);
  const baseline = new Map([[1, 1.4], [2, 2.4], [3, -100]]);
  const { mean, margin, count } = pairedDifference(cell, baseline)!;
  assertEquals(count, 2);
  assertAlmostEquals(mean, 0.1, 1e-12);
  assertAlmostEquals(margin, 0, 1e-12); // what the seeds do falls out
  const reversed = new Map([...baseline].toReversed());
  assertEquals(pairedDifference(cell, reversed)!.mean, mean);
});

Deno.test("Cells without a seed in common have no paired difference", () => {
  const [odd, even] = [new Map([[1, 2]]), new Map([[2, 2]])];
  assertEquals(pairedDifference(odd, even), undefined);
  assertEquals(pairedDifference(odd, new Map()), undefined);
});

Deno.test("A report of many intervals says how many miss by chance", () => {
  const of = (count: number) =>
    Array.from({ length: count }, () => estimate([1, 2, 3]));
  // One number has no interval.
  assertEquals(countIntervals([...of(50), estimate([1]), undefined]), 50);
  assertEquals(
    missesText(50),
    "50 intervals are shown here. Each misses the true value with a chance of 5 %: expect about 2.5 of the 50 to do so.",
  );
  assertMatch(missesText(104), /^104 .* about 5\.2 of the 104 /);
  assertMatch(missesText(400), / about 20 of the 400 /);
  assertMatch(missesText(2), / about 0\.1 of the 2 /);
  assertEquals([missesText(0), missesText(1)], ["", ""]);
});

import { assertAlmostEquals, assertEquals } from "@std/assert";
import { estimate, pairedDifference } from "../../lib/lab/statistics.ts";

Deno.test("An estimate is the mean with the interval of Student's t", () => {
  // Sample deviation 1, t = 4.303 with two degrees of freedom: 4.303 / sqrt(3).
  const { mean, margin, count } = estimate([1, 2, 3]);
  assertEquals([mean, count], [2, 3]);
  assertAlmostEquals(margin, 4.303 / Math.sqrt(3), 1e-12);
  assertEquals(estimate([4]), { mean: 4, margin: NaN, count: 1 });
});

Deno.test("A paired difference takes only seeds that both have", () => {
  const cell = new Map([[1, 1.5], [2, 2.5], [7, 100]]);
  const baseline = new Map([[1, 1.4], [2, 2.4], [3, -100]]);
  const { mean, margin, count } = pairedDifference(cell, baseline);
  assertEquals(count, 2);
  assertAlmostEquals(mean, 0.1, 1e-12);
  assertAlmostEquals(margin, 0, 1e-12); // what the seeds do falls out
});

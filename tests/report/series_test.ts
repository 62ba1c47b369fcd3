import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  extremes,
  type Point,
  smoothed,
  thinned,
} from "../../lib/report/series.ts";

function curve(count: number, y: (x: number) => number): Point[] {
  return Array.from({ length: count }, (_, i) => ({
    x: i + 1,
    y: y(i + 1),
  }));
}

Deno.test("Extremes keep every peak and every trough, in order, in few points", () => {
  const noisy = curve(
    5000,
    (step) => step === 1234 ? 99 : step === 4321 ? -99 : Math.sin(step),
  );
  const drawn = extremes(noisy, 100);
  assert(drawn.length <= 200);
  assertEquals(drawn.find(({ y }) => y === 99)?.x, 1234);
  assertEquals(drawn.find(({ y }) => y === -99)?.x, 4321);
  const steps = drawn.map(({ x }) => x);
  assertEquals(steps, steps.toSorted((a, b) => a - b));
  assertEquals(extremes(curve(9, Math.sin), 100), curve(9, Math.sin));
  assertEquals(extremes([], 100), []);
});

Deno.test("Smoothing leaves a line where it is, and takes noise away", () => {
  const line = smoothed(curve(1000, (step) => 3 - step / 500), { count: 50 });
  assertEquals(line.length, 50);
  // Until windows lose their right half, near the end.
  for (const { x, y } of line.slice(0, -2)) {
    assertAlmostEquals(y, 3 - x / 500, 1e-12);
  }
  const flat = smoothed(curve(1000, (step) => step % 2), { share: 0.1 });
  for (const { x, y } of flat) {
    // A window of n steps has at most one odd step more than even ones.
    assertAlmostEquals(y, 0.5, 0.51 / Math.min(x, 50));
  }
  assertEquals(smoothed([]), []);
  assertEquals(smoothed(curve(1, () => 7)), [{ x: 1, y: 7 }]);
});

Deno.test("Thinning keeps the first and the last", () => {
  assertEquals(thinned([1, 2, 3], 3), [1, 2, 3]);
  assertEquals(thinned([1, 2, 3, 4, 5], 3), [1, 3, 5]);
  assertEquals(thinned([1, 2, 3], 1), [3]);
});

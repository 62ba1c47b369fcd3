import { assertAlmostEquals, assertEquals } from "@std/assert";
import {
  alibiSlopes,
  ropeFrequencies,
  ropeTable,
  sinusoidalTable,
} from "../../lib/model/positions.ts";

Deno.test("ALiBi's slopes for 8 heads are the powers 1/2 to 1/256", () => {
  const expected = [1, 2, 3, 4, 5, 6, 7, 8].map((power) => 2 ** -power);
  assertEquals(alibiSlopes(8), expected);
});

Deno.test("ALiBi's slopes for 6 heads are those of 4 and every other one of 8", () => {
  assertEquals(alibiSlopes(6), [
    2 ** -2,
    2 ** -4,
    2 ** -6,
    2 ** -8,
    2 ** -1,
    2 ** -3,
  ]);
});

Deno.test("The sinusoidal table has sine and cosine of falling frequencies", () => {
  const table = sinusoidalTable(5, 4);
  assertEquals(Array.from(table.subarray(0, 4)), [0, 1, 0, 1]);
  assertAlmostEquals(table[3 * 4]!, Math.sin(3), 1e-15);
  assertAlmostEquals(table[3 * 4 + 3]!, Math.cos(0.03), 1e-15);
});

Deno.test("The rotary table turns pair i of position t by t / 10000^(2i / HS)", () => {
  const table = ropeTable(4, ropeFrequencies(4, 10000));
  assertEquals(table.length, 4 * 4);
  assertAlmostEquals(table[2 * 4 + 1]!, Math.sin(2), 1e-15);
  assertAlmostEquals(table[3 * 4 + 2]!, Math.cos(0.03), 1e-15);
});

Deno.test("Rotary frequencies fall from 1 by the base's root for each pair", () => {
  // 1e6^(-2i/6), by hand.
  const expected = [1, 1e-2, 1e-4];
  for (const [i, frequency] of ropeFrequencies(6, 1e6).entries()) {
    assertAlmostEquals(frequency, expected[i]!, 1e-16);
  }
});

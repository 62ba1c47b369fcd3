import { assertAlmostEquals, assertEquals } from "@std/assert";
import { ropeFrequencies } from "../../lib/config/rotary.ts";
import {
  alibiSlopes,
  ropeTable,
  sinusoidalTable,
} from "../../lib/model/positions.ts";

function rotation(headSize: number, ropeTheta: number) {
  return { headSize, ropeTheta, ropeScaling: null, ropeContext: 8192 };
}

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
  const table = ropeTable(4, ropeFrequencies(rotation(4, 10000)));
  assertEquals(table.length, 4 * 4);
  assertAlmostEquals(table[2 * 4 + 1]!, Math.sin(2), 1e-15);
  assertAlmostEquals(table[3 * 4 + 2]!, Math.cos(0.03), 1e-15);
});

Deno.test("Rotary frequencies fall from 1 by the base's root for each pair", () => {
  // 1e6^(-2i/6), by hand.
  const expected = [1, 1e-2, 1e-4];
  for (const [i, frequency] of ropeFrequencies(rotation(6, 1e6)).entries()) {
    assertAlmostEquals(frequency, expected[i]!, 1e-16);
  }
});

Deno.test("Llama 3's scaling keeps fast rotations, slows down slow ones and blends between", () => {
  // θ 1e6 and 3 pairs: frequencies 1, 0.01, 0.0001; a turn takes 6.28, 628 and 62,832 positions. In 1257 positions they turn
  // 200, 2.000577634 and 0.02 times. The second lies at (2.000577634 - 1) / 3 = 0.333525878 between 1 turn and 4, and
  // becomes 0.01 (0.333525878 + 0.666474122 / 8) = 0.00416835143.
  const scaled = ropeFrequencies({
    ...rotation(6, 1e6),
    ...{ ropeScaling: 8, ropeContext: 1257 },
  });
  assertEquals(scaled[0], 1);
  assertAlmostEquals(scaled[1]!, 0.00416835143, 1e-11);
  assertAlmostEquals(scaled[2]!, 0.0001 / 8, 1e-19);
});

Deno.test("Llama 3's scaling of Llama 3.1 leaves 29 of 64 pairs alone and divides 29 by 8", () => {
  // θ 500,000 and heads of 128: pair i turns once in 2π 500000^(i/64) positions. That is 8192 / 4 at i = 28.2 and 8192 at
  // i = 35.0 (ln(2048 / 2π) = 5.7867 and ln(8192 / 2π) = 7.1730, over ln(500000) / 64 = 0.205037).
  const plain = ropeFrequencies(rotation(128, 5e5));
  const scaled = ropeFrequencies({ ...rotation(128, 5e5), ropeScaling: 8 });
  const ratios = Array.from(scaled, (frequency, i) => plain[i]! / frequency);
  assertEquals(ratios.filter((ratio) => ratio === 1).length, 29);
  assertEquals(ratios.filter((ratio) => ratio > 7.999999).length, 29);
  assertEquals(ratios, ratios.toSorted((a, b) => a - b));
});

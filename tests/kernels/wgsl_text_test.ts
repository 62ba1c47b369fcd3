/** The words of WGSL texts: literals that mean exactly one f32, and grids that hold every workgroup. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { leastTarget } from "../../kernels/wgsl/kernel.ts";
import { alone, type Share, together } from "../../kernels/wgsl/pass.ts";
import { f32, grid, indent, repeat } from "../../kernels/wgsl/text.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";

Deno.test("f32 writes literals that read back as the same number", () => {
  const random = new CounterRandom(1, Purpose.init);
  const bits = new Uint32Array(1);
  const floats = new Float32Array(bits.buffer);
  for (let i = 0; i < 20_000; i++) {
    bits[0] = random.bits(0, i); // every exponent, subnormal numbers too
    const x = floats[0]!;
    if (!Number.isFinite(x)) continue;
    const literal = f32(x);
    assert(/^-?\d+(\.\d+)?(e-?\d+)?f$/.test(literal), literal);
    assert(/[.e]/.test(literal), `${literal} is an integer's literal`);
    assertEquals(Math.fround(parseFloat(literal)), x, literal);
  }
});

Deno.test("f32 writes no more digits than needed", () => {
  const literals: [number, string][] = [
    [0, "0.0f"],
    [1, "1.0f"],
    [-0.5, "-0.5f"],
    [1 / 3, "0.33333334f"],
    [1e-8, "1e-8f"],
    [16777216, "1.6777216e7f"],
    [3.4028234663852886e38, "3.4028235e38f"],
  ];
  for (const [x, literal] of literals) assertEquals(f32(x), literal);
});

Deno.test("f32 refuses what is not finite in 32 bits", () => {
  for (const x of [Infinity, -Infinity, NaN, 1e39]) {
    assertThrows(() => f32(x), RangeError, `Cannot write ${x} in WGSL`);
  }
});

Deno.test("grid holds every workgroup and wastes less than one row", () => {
  const target = { workgroupsPerDimension: 100 };
  for (const count of [1, 99, 100, 101, 199, 5000, 9999, 10_000]) {
    const { workgroups: [x, y, z], index } = grid(count, target);
    assert(x <= 100 && y <= 100 && z === 1, `${count}: ${x} by ${y} by ${z}`);
    assert(x * y >= count && x * y < count + y, `${count}: ${x} by ${y}`);
    assertEquals(index.includes("group.y"), y > 1);
  }
  assertThrows(
    () => grid(10_001, target),
    RangeError,
    "Cannot dispatch 10001 workgroups: the adapter allows 100 by 100",
  );
});

Deno.test("indent moves lines but the first and the empty ones", () => {
  const text = `{\n  ${indent(repeat(2, (i) => `a${i};\n`), 2)}}`;
  assertEquals(text, "{\n  a0;\n\n  a1;\n}");
});

Deno.test("a text enables each optional feature that it uses, once", () => {
  const target = {
    ...leastTarget,
    tiling: "workgroup",
    features: ["shader-f16"],
  } as const;
  const plain: Share = {
    ...{ target, parameters: [], count: 1, body: "" },
    each: "workgroup",
  };
  const half: Share = { ...plain, features: ["shader-f16"] };
  const directives = (code: string) => code.match(/^enable \w+;$/gm) ?? [];
  assertEquals(directives(alone(plain).code), []);
  assert(alone(half).code.startsWith("enable f16;\n"));
  for (const [first, second] of [[half, plain], [plain, half], [half, half]]) {
    const { code } = together(first!, second!);
    assertEquals(directives(code), ["enable f16;"]);
  }
  assertThrows(
    () => alone({ ...half, target: { ...target, features: [] } }),
    RangeError,
    "Cannot write a pass with shader-f16: the adapter lacks it",
  );
});

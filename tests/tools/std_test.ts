/** What the tests rely on in @std/assert. A clone runs this with the stand-in of tools/std, and CI once more with the package itself. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  AssertionError,
  assertLessOrEqual,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
Deno.test("assertEquals treats 0 and -0 as equal, NaN as equal to itself, and all other different values as different", () => {
  const equal: [unknown, unknown][] = [
    [0, -0],
    [NaN, NaN],
    [[0], [-0]],
    [new Float32Array([0, NaN]), new Float32Array([-0, NaN])],
    [{ a: [1, { b: -0 }] }, { a: [1, { b: 0 }] }],
    [new Map([["a", -0]]), new Map([["a", 0]])],
    [new Set([1, "a"]), new Set(["a", 1])],
    [new Date(5), new Date(5)],
    [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ];
  for (const [a, b] of equal) {
    assertEquals(a, b);
    assertThrows(() => assertNotEquals(a, b), AssertionError);
  }
  const unequal: [unknown, unknown][] = [
    [1, "1"],
    [null, undefined],
    [{ a: undefined }, {}],
    [[1, 2], [1, 2, 3]],
    [[1], { 0: 1 }],
    [new Float32Array([1]), new Float64Array([1])],
    [new Float32Array([1]), [1]],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Set([1]), new Set([2])],
    [new Date(5), new Date(6)],
    [{ a: 1 }, { b: 1 }],
  ];
  for (const [a, b] of unequal) {
    assertNotEquals(a, b);
    assertThrows(() => assertEquals(a, b), AssertionError);
  }
});

Deno.test({
  name: "assertEquals of the stand-in says at once where long values differ",
  ignore: !import.meta.resolve("@std/assert").includes("/tools/std/"),
  fn: () => {
    const long = Int32Array.from({ length: 100_000 }, (_, i) => i);
    const begun = performance.now();
    const { message } = assertThrows(
      () => assertEquals({ long }, { long: long.with(77_777, -5) }),
      AssertionError,
    );
    assert(message.length < 1000, message);
    assert(/77776, *77777,/.test(message) && / -5,/.test(message), message);
    // A comparison of all lines takes minutes.
    assert(performance.now() - begun < 20_000);
  },
});

Deno.test("assertEquals prints the difference after the test's message", () => {
  assertThrows(
    () => assertEquals({ a: 1, b: "x" }, { a: 2, b: "x" }, "row 3"),
    AssertionError,
    "Values are not equal: row 3",
  );
});

Deno.test("Assertions fail if their claim is false", async () => {
  const wrong: (() => unknown)[] = [
    () => assert(0),
    () => assertAlmostEquals(1, 1.1, 0.05),
    () => assertAlmostEquals(1, 1 + 1e-6),
    () => assertAlmostEquals(NaN, 1, 1),
    () => assertGreater(1, 1),
    () => assertLessOrEqual(2, 1),
    () => assertStrictEquals(0, -0),
    () => assertThrows(() => 0),
  ];
  for (const fn of wrong) assertThrows(fn, AssertionError);
  assertAlmostEquals(1, 1 + 1e-8);
  assertAlmostEquals(Infinity, Infinity);
  const thrown = new RangeError("out of range");
  const throws = () => {
    throw thrown;
  };
  assertStrictEquals(assertThrows(throws), thrown);
  assertStrictEquals(assertThrows(throws, RangeError, "range"), thrown);
  for (const kind of [TypeError, SyntaxError]) {
    assertThrows(() => assertThrows(throws, kind), AssertionError);
  }
  assertThrows(() => assertThrows(throws, RangeError, "x"), AssertionError);
  const rejects = () => Promise.reject(thrown);
  assertStrictEquals(await assertRejects(rejects, Error, "out"), thrown);
  const bad: (() => Promise<unknown>)[] = [
    () => assertRejects(() => Promise.resolve()),
    () => assertRejects(rejects, TypeError),
    () => assertRejects(rejects, RangeError, "x"),
    () => assertRejects(throws),
  ];
  for (const fn of bad) await assertRejects(fn, AssertionError);
});

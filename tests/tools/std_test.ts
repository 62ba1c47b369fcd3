/**
 * What this program relies on in @std/cli and @std/assert. A clone runs this with
 * the stand-ins of tools/std, and CI once more with the packages themselves.
 */

import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertGreater,
  AssertionError,
  assertLessOrEqual,
  assertNotEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";

/** Parses with every kind of flag; gives what was found, and what was asked about. */
function parse(args: readonly string[]): [object, unknown[][]] {
  const asked: unknown[][] = [];
  const found = parseArgs([...args], {
    string: ["steps", "stop", "_"],
    collect: ["steps", "stop"],
    boolean: ["bias", "help"],
    negatable: ["bias"],
    alias: { help: "h" },
    default: { bias: undefined, help: undefined },
    unknown: (...question) => {
      asked.push(question);
      return question.length === 1 || question[1] === undefined;
    },
  });
  return [found, asked];
}

const none = {
  _: [],
  steps: [],
  stop: [],
  bias: undefined,
  help: undefined,
  h: undefined,
};

/** What @std/cli 1.0 makes of arguments, by what differs from none. */
const cases: [args: string[], found: object, asked?: unknown[][]][] = [
  [[], {}],
  [["--steps", "3"], { steps: ["3"] }],
  [["--steps=3"], { steps: ["3"] }],
  [["--steps=a=b"], { steps: ["a=b"] }],
  [["--steps=a\nb"], { steps: ["a\nb"] }],
  [["--steps="], { steps: [""] }],
  [["--steps"], { steps: [""] }],
  [["--steps", ""], { steps: [""], _: [""] }, [[""]]],
  [["--steps=-1"], { steps: ["-1"] }],
  [["--steps", "--bias"], { steps: [""], bias: true }],
  [["--steps=1", "--steps", "2"], { steps: ["1", "2"] }],
  [["--bias"], { bias: true }],
  [["--bias", "run"], { bias: true, _: ["run"] }, [["run"]]],
  [["--bias", "false"], { bias: false }],
  [["--bias=false"], { bias: false }],
  [["--bias=yes"], { bias: true }],
  [["--no-bias"], { bias: false }],
  [["--bias", "--no-bias"], { bias: false }],
  [["--no-bias", "--bias"], { bias: true }],
  [["--no-steps"], {}, [["--no-steps", "no-steps", true]]],
  [["--help"], { help: true, h: true }],
  [["-h"], { help: true, h: true }],
  [["-xh"], { help: true, h: true }, [["-xh", "x", true]]],
  [["-1"], {}, [["-1", "1", true]]],
  [["-x", "y"], {}, [["-x", "x", "y"]]],
  [["--x"], {}, [["--x", "x", true]]],
  [["--x=1"], {}, [["--x=1", "x", "1"]]],
  [["--x", "1", "2"], { _: ["2"] }, [["--x", "x", "1"], ["2"]]],
  [["007", "a b"], { _: ["007", "a b"] }, [["007"], ["a b"]]],
  [["-"], { _: ["-"] }, [["-"]]],
  [["--", "--steps", "-h"], { _: ["--steps", "-h"] }],
  [["--steps", "--", "3"], { steps: [""], _: ["3"] }],
  [["a", "--", "b"], { _: ["a", "b"] }, [["a"]]],
];

for (const [args, found, asked = []] of cases) {
  Deno.test(`parseArgs reads ${JSON.stringify(args)}`, () => {
    assertEquals<unknown>(parse(args), [{ ...none, ...found }, asked]);
  });
}

Deno.test("parseArgs gives every list of arguments the meaning that @std/cli 1.0 gives it", async () => {
  const words = cases.flatMap(([args]) => args)
    .filter((word, i, all) => all.indexOf(word) === i);
  let state = 1;
  const below = (count: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % count;
  };
  const meanings = Array.from({ length: 5000 }, () => {
    const args = Array.from(
      { length: 1 + below(4) },
      () => words[below(words.length)]!,
    );
    const [found, asked] = parse(args);
    const sorted = Object.entries(found).sort(([a], [b]) => a < b ? -1 : 1);
    return JSON.stringify([
      sorted.map(([key, value]) => [key, value ?? "unset"]),
      asked,
    ]);
  });
  const bytes = new TextEncoder().encode(meanings.join("\n"));
  const sum = await crypto.subtle.digest("SHA-256", bytes);
  // Recorded with the package's own code.
  assertEquals(
    new Uint8Array(sum).toHex(),
    "2dcff6ed64e1a69b651553862e02a5aa1f6ff3b9e542432050d9b95b7b14ab85",
  );
});

Deno.test("parseArgs turns digits into numbers unless the flag is a string", () => {
  const found = parseArgs(["3", "--n=4", "--s=5", "x"], { string: ["s"] });
  assertEquals<unknown>(found, { _: [3, "x"], n: 4, s: "5" });
  const withDefaults = { string: ["s", "t"], default: { s: "1", t: "2" } };
  assertEquals<unknown>(parseArgs(["--s=9"], withDefaults), {
    _: [],
    s: "9",
    t: "2",
  });
});

Deno.test("assertEquals takes 0 for -0 and NaN for itself, and nothing else for something", () => {
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

Deno.test("assertEquals says what differs, after the test's own words", () => {
  assertThrows(
    () => assertEquals({ a: 1, b: "x" }, { a: 2, b: "x" }, "row 3"),
    AssertionError,
    "Values are not equal: row 3",
  );
});

Deno.test("Assertions fail when what they say is not so", async () => {
  const wrong: (() => unknown)[] = [
    () => assert(0),
    () => assertAlmostEquals(1, 1.1, 0.05),
    () => assertAlmostEquals(1, 1 + 1e-6),
    () => assertAlmostEquals(NaN, 1, 1),
    () => assertArrayIncludes([1, 2], [3]),
    () => assertExists(null),
    () => assertGreater(1, 1),
    () => assertLessOrEqual(2, 1),
    () => assertObjectMatch({ a: { b: 1, c: 2 } }, { a: { b: 2 } }),
    () => assertObjectMatch({ a: 1 }, { b: 1 }),
    () => assertStrictEquals(0, -0),
    () => assertThrows(() => 0),
  ];
  for (const fn of wrong) assertThrows(fn, AssertionError);
  assertAlmostEquals(1, 1 + 1e-8);
  assertAlmostEquals(Infinity, Infinity);
  assertObjectMatch({ a: { b: 1, c: 2 }, d: 3 }, { a: { b: 1 } });
  assertObjectMatch({ a: [{ b: 1, c: 2 }] }, { a: [{ b: 1 }] });
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

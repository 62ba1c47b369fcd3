import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { dodged, placed, shortened } from "../../lib/report/labels.ts";

Deno.test("Shortened names are distinct, fit, and keep their beginnings and ends", () => {
  assertEquals(shortened(["a", "b"], 24), ["a", "b"]);
  const long = [
    "optimizer=sgd+learningRate=0.1",
    "optimizer=sgd+learningRate=0.5",
  ];
  assertEquals(shortened(long, 20), [
    "optimizer=…gRate=0.1",
    "optimizer=…gRate=0.5",
  ]);
  const cases: string[][] = [
    long,
    // What differs is in the middle.
    Array.from(
      { length: 9 },
      (_, i) => `${"a".repeat(40)}${i}${"b".repeat(40)}`,
    ),
    Array.from({ length: 20 }, (_, i) => `${"x".repeat(200)}${i}`),
    [
      "same".repeat(20) + "1" + "z".repeat(90),
      "same".repeat(20) + "2" + "z".repeat(80),
    ],
    ["👩‍👩‍👧".repeat(30) + "a", "👩‍👩‍👧".repeat(30) + "b"],
    // Two places differ, too far apart to show both.
    [
      "p".repeat(30) + "1" + "q".repeat(60) + "2" + "r".repeat(30),
      "p".repeat(30) + "2" + "q".repeat(60) + "1" + "r".repeat(30),
      "p".repeat(30) + "1" + "q".repeat(60) + "1" + "r".repeat(30),
    ],
  ];
  for (const names of cases) {
    const short = shortened(names, 24);
    assertEquals(new Set(short).size, names.length, short.join("\n"));
    for (const name of short) {
      assertLessOrEqual(
        [...new Intl.Segmenter().segment(name)].length,
        24,
        name,
      );
    }
    assert(
      !short.some((name) => /\u200d(…|$)/.test(name)),
      "no character is cut",
    );
  }
});

Deno.test("Dodged labels keep their order and distance and stay in range", () => {
  assertEquals(dodged([10, 50], 12, [0, 100]), [10, 50]);
  assertEquals(dodged([20, 10, 12], 12, [0, 100]), [34, 10, 22]);
  assertEquals(dodged([95, 99, 98], 10, [0, 100]), [80, 100, 90]);
});

Deno.test("Labels of points do not cover other points", () => {
  const frame = { left: 0, right: 400, top: 0, bottom: 300 };
  const label = { x: 200, y: 150, text: "44,352" };
  assertEquals(placed([label], [], frame), [{
    dx: -9,
    dy: -9,
    textAnchor: "end",
  }]);
  // Points at the left, as far as the label reaches.
  const points = Array.from(
    { length: 20 },
    (_, i) => ({ x: 140 + 3 * i, y: 140 }),
  );
  assertEquals(placed([label], points, frame)[0]!.textAnchor, "start");
  // Two labels of the same point do not lie on each other.
  const [a, b] = placed([label, label], [], frame);
  assert(a!.textAnchor !== b!.textAnchor || Math.abs(a!.dy - b!.dy) >= 13);
});

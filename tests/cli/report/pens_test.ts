import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreaterOrEqual,
} from "@std/assert";
import { layerColor } from "../../../lib/report/charts.ts";
import { lineKey, penOf } from "../../../lib/report/pens.ts";
import { colors } from "../../../lib/report/style.ts";
import { outsideColor } from "../../../lib/cli/report/run_charts.ts";
import {
  contrast,
  difference,
  lab,
  mixed,
  seen,
  visions,
} from "./color_vision.ts";

/** The pages' colours by name, in one scheme. */
function palette(scheme: "light" | "dark"): Map<string, string> {
  const rules = scheme === "light"
    ? /^:root\{(.*?)\}/ms
    : /prefers-color-scheme:dark\)\{:root\{(.*?)\}/s;
  return new Map(
    Array.from(
      rules.exec(colors)![1]!.matchAll(/--(\w+):(#\w+)/g),
      ([, name, value]) => [name!, value!],
    ),
  );
}

const schemes = ["light", "dark"] as const;

Deno.test("No two of 210 pens are alike, nor two of 30 without colour", () => {
  const pens = Array.from({ length: 210 }, (_, i) => penOf(i));
  const alike = (texts: readonly string[]) =>
    texts.length - new Set(texts).size;
  assertEquals(alike(pens.map((pen) => JSON.stringify(pen))), 0);
  assertEquals(alike(pens.map((pen) => lineKey(pen).text)), 0);
  const colorless = pens.slice(0, 30).map((pen) => ({ ...pen, color: "" }));
  assertEquals(alike(colorless.map((pen) => JSON.stringify(pen))), 0);
  assertEquals(alike(colorless.map((pen) => lineKey(pen).text)), 0);
});

Deno.test("Colour differences are those that Sharma et al. 2005 list", () => {
  // Pairs 1, 7, 17 and 25 of their table 1: blues, greys, far apart, dark.
  const pairs = [
    [[50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425],
    [[50, 0, 0], [50, -1, 2], 2.3669],
    [[50, 2.5, 0], [73, 25, -18], 27.1492],
    [[60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644],
  ] as const;
  for (const [a, b, expected] of pairs) {
    assertAlmostEquals(difference(a, b), expected, 5e-5);
    assertAlmostEquals(difference(b, a), expected, 5e-5);
  }
});

Deno.test("Pens that share a dash differ in colour for every kind of colour vision, in both schemes", () => {
  const pens = Array.from({ length: 210 }, (_, i) => penOf(i));
  for (const scheme of schemes) {
    const hex = palette(scheme);
    for (const same of Map.groupBy(pens, ({ dash }) => dash).values()) {
      const used = new Set(same.map(({ color }) => /--(\w+)/.exec(color)![1]!));
      const names = [...used];
      names.forEach((a, i) => {
        for (const b of names.slice(i + 1)) {
          for (
            const vision of Object.keys(visions) as (keyof typeof visions)[]
          ) {
            const [one, other] = [a, b].map((name) =>
              seen(hex.get(name)!, vision)
            );
            // Ten times what can be seen side by side: these are thin lines apart.
            assertGreaterOrEqual(
              difference(one!, other!),
              10,
              `${scheme}, ${vision}: ${a} and ${b}`,
            );
          }
        }
      });
    }
  }
});

Deno.test("Matrices outside of the layers look like none of 12 layers, nor like each other", () => {
  for (const scheme of schemes) {
    const hex = palette(scheme);
    const looks = (value: string) => {
      const [, name, share = 100, other = name] =
        /^(?:color-mix\(in oklab, )?var\(--(\w+)\)(?: (\d+)%, var\(--(\w+)\)\))?$/
          .exec(value)!;
      return lab(
        mixed(Number(share) / 100, hex.get(name!)!, hex.get(other!)!),
      );
    };
    const outside = ["wte", "wpe", "lm_head"].map(outsideColor);
    const layers = Array.from({ length: 12 }, (_, i) => layerColor(i, 12));
    outside.forEach((color, i) => {
      for (const other of [...layers, ...outside.slice(i + 1)]) {
        assertGreaterOrEqual(
          difference(looks(color), looks(other)),
          10,
          `${scheme}: ${color} and ${other}`,
        );
      }
    });
  }
});

Deno.test("Colours have the contrast that WCAG asks for, in both schemes", () => {
  for (const scheme of schemes) {
    const hex = palette(scheme);
    const least = (name: string) => /^(ink|dim)$/.test(name) ? 4.5 : 3;
    // What lies under texts and lines needs no contrast.
    for (const name of ["rule", "heat", "shade"]) hex.delete(name);
    const grounds = ["page", "soft"].map((name) => hex.get(name)!);
    assert(hex.size > 12, `${[...hex.keys()]}`);
    for (const [name, color] of hex) {
      if (grounds.includes(color)) continue;
      for (const ground of grounds) {
        assertGreaterOrEqual(
          contrast(color, ground),
          least(name),
          `${scheme}: ${name} on ${ground}`,
        );
      }
    }
  }
});

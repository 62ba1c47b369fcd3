import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CommandError } from "../../lib/cli/command/errors.ts";
import { openPlotter } from "../../lib/cli/report/page.ts";
import { Plotter } from "../../lib/report/plotter.ts";

Deno.test("Plotter says how to get its packages, at the versions of deno.json, where they are missing", async () => {
  const { message } = await assertRejects(
    () => openPlotter(() => Promise.reject(new TypeError("no network\n  at"))),
    CommandError,
  );
  assertMatch(
    message,
    /^Cannot draw: the packages .* cannot be downloaded \(no network\)\nhint: /,
  );
  const file = new URL("../../deno.json", import.meta.url);
  const config = await Deno.readTextFile(file);
  const versions = ["@observablehq/plot", "linkedom"].map((name) =>
    new RegExp(`"${name}": "(.*)"`).exec(config)![1]
  );
  assertMatch(message, new RegExp(`hint: .*deno cache ${versions.join(" ")} `));
});

Deno.test("Plotter draws SVG that is as wide as its place, with short numbers and no style of its own", async () => {
  const plotter = await Plotter.open();
  const { text } = plotter.draw({
    width: 300,
    height: 200,
    ariaLabel: "Thirds",
    marks: [
      plotter.plot.dot([1 / 3, 2 / 3], { x: (x) => x, title: (x) => `${x}` }),
    ],
  });
  assertMatch(text, /^<svg role="img" /);
  assertMatch(text, /viewBox="0 0 300 200"/);
  assertMatch(text, /aria-label="Thirds"/);
  assertEquals(/<style/.test(text), false);
  // What is said keeps its digits, where it is drawn does not.
  assertMatch(text, /<title>0.3333333333333333<\/title>/);
  assertEquals(/="[^"]*\.\d{3}/.test(text), false, text);
});

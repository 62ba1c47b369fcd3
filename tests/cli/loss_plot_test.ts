import { assert, assertEquals, assertMatch } from "@std/assert";
import { braillePlot, bucketed } from "../../lib/cli/terminal/braille_plot.ts";
import { LossPlot } from "../../lib/cli/terminal/loss_plot.ts";

/** How many columns a line takes: all of its characters are one wide. */
const width = (line: string) => [...line].length;

Deno.test("A plot draws a falling line from edge to edge, with its range beside it", () => {
  const plot = braillePlot([[[0, 2.5], [1, 1]]], {
    ...{ width: 10, height: 2, x: [0, 1], y: [1, 2.5] },
  });
  assertEquals(plot, ["2.50 ┤⠑⢄⠀⠀", "1.00 ┤⠀⠀⠑⢄", "     └0──1"]);
  const dots = dotsOf(plot);
  assertEquals(dots[0], [0, 0]);
  assertEquals(dots.at(-1), [7, 7]);
  for (const [column, row] of dots) assertEquals(column, row); // 8 by 8 dots
});

Deno.test("A plot leaves out what lies beyond its range, but for the way there", () => {
  const curve = [[0, 9], [1, 9], [2, 9], [3, 1], [4, 1]] as const;
  const plot = braillePlot([curve], {
    ...{ width: 11, height: 3, x: [0, 4], y: [0, 2] },
  });
  const columns = dotsOf(plot).map(([column]) => column);
  assertEquals(Math.min(...columns), 5, "the flat part above is not drawn");
});

Deno.test("Later curves are painted over earlier ones", () => {
  const flat = (y: number) => [[0, y], [1, y]] as const;
  const paint = (text: string, curve: number) => `<${curve}${text}>`;
  const frame = { width: 8, height: 1, x: [0, 1], y: [0, 1], paint } as const;
  assertEquals(braillePlot([flat(0), flat(0)], frame), [
    "1.00 ┤<1⣀⣀>",
    "     └0─",
  ]);
  assertEquals(braillePlot([flat(0), [[1, 0]]], frame), [
    "1.00 ┤<0⣀><1⣀>",
    "     └0─",
  ]);
});

Deno.test("A constant curve has a plot too", () => {
  const plot = braillePlot([[[3, 2], [3, 2]]], {
    ...{ width: 8, height: 2, x: [3, 3], y: [2, 2] },
  });
  assertEquals(dotsOf(plot).length, 1);
});

Deno.test("A curve is smoothed to as many points as there is room for", () => {
  const curve = Array.from({ length: 100 }, (_, i) => [i, i % 2] as const);
  assertEquals(bucketed(curve, 200), curve);
  const means = bucketed(curve, 10);
  assertEquals(means.length, 10);
  for (const [, y] of means) assert(y > 0.3 && y < 0.7);
});

/** Columns and rows of the dots of a plot, from the left. */
function dotsOf(plot: readonly string[]): [number, number][] {
  const bits = [0x01, 0x02, 0x04, 0x40, 0x08, 0x10, 0x20, 0x80];
  const dots = plot.flatMap((line, row) =>
    [...line].slice(6).flatMap((character, column) =>
      bits.flatMap((bit, i): [number, number][] =>
        /[\u2800-\u28ff]/.test(character) &&
          (character.codePointAt(0)! - 0x2800) & bit
          ? [[2 * column + (i >> 2), 4 * row + (i & 3)]]
          : []
      )
    )
  );
  return dots.toSorted(([a], [b]) => a - b);
}

/** A plot of a run of some steps whose loss falls. */
function plotOf(steps: number): LossPlot {
  const plot = new LossPlot();
  for (let step = 1; step <= steps; step++) {
    plot.take({ event: "step", step, loss: 1 + 3 / Math.sqrt(step) });
    if (step % 50 === 0) plot.take({ event: "eval", step, valLoss: 2 });
  }
  plot.take({ event: "step", step: steps + 1, loss: NaN });
  plot.take({ event: "checkpoint" });
  return plot;
}

for (const columns of [36, 80, 200, 300]) {
  Deno.test(`The losses fit into ${columns} columns`, () => {
    const lines = plotOf(500).lines({ columns, rows: 24 });
    assertEquals(lines.length, 10);
    assertEquals(
      lines.at(-1),
      columns < 50
        ? "      ⠒ training  ● validation"
        : "      ⠒ training loss  ● validation loss  by step",
    );
    // The axis has the ends (means of a column's steps), and round steps in between.
    const steps = lines.at(-2)!.match(/\d+/g)!.map(Number);
    assert(steps[0]! >= 1 && steps[0]! <= 10, lines.at(-2));
    assert(steps.at(-1)! >= 490 && steps.at(-1)! <= 500, lines.at(-2));
    assert(steps.length >= 3, lines.at(-2));
    assertEquals(steps, steps.toSorted((a, b) => a - b));
    for (const step of steps.slice(1, -1)) assertEquals(step % 10, 0);
    // Without colour, marks tell the validation loss apart.
    assert(lines.slice(0, 8).join("").includes("●"));
    assert(/[\u2801-\u28ff]/.test(lines.slice(0, 8).join("")));
    // The same in plain ASCII.
    const plain = plotOf(500).lines({ columns, rows: 24, ascii: true });
    assertEquals(plain.length, 10);
    for (const line of plain) assertMatch(line, /^[ -~]*$/);
    assert(plain.slice(0, 8).join("").includes("o"));
    assertEquals(plain.map(width), lines.map(width));
    for (const line of lines) {
      assert(width(line) <= Math.min(columns, 110), `${width(line)}`);
    }
    // The first eighth of the steps falls from 4 to 1.4 and is not what the range is made for.
    assertEquals(lines[0]!.slice(0, 4), "2.00");
  });
}

Deno.test("There is no picture without room, or before there is something to see", () => {
  assertEquals(plotOf(500).lines({ columns: 35, rows: 24 }), []);
  assertEquals(plotOf(500).lines({ columns: 80, rows: 17 }), []);
  assertEquals(plotOf(5).lines({ columns: 80, rows: 24 }), []);
  const [, ...rest] = plotOf(20).lines({ columns: 80, rows: 24 });
  assertEquals(rest.at(-1), "      ⠒ training loss  by step");
  for (let columns = 20; columns <= 300; columns += 7) {
    for (const line of plotOf(77).lines({ columns, rows: 24 })) {
      assert(width(line) <= columns, `${columns}: ${line}`);
    }
  }
});

Deno.test("A long run has the picture of a short one of the same shape", () => {
  const plotFor = (steps: number) => {
    const plot = new LossPlot();
    for (let step = 1; step <= steps; step++) {
      plot.take({ event: "step", step, loss: 4 - 3 * step / steps });
    }
    return plot.lines({ columns: 60, rows: 24 });
  };
  // Of the line's dots a few may lie one beside where they were.
  const short = dotsOf(plotFor(512).slice(0, -1));
  const long = dotsOf(plotFor(100_000).slice(0, -1));
  const columns = (dots: [number, number][]) => new Set(dots.map(([x]) => x));
  assertEquals(columns(long), columns(short));
  assert(Math.abs(long.length - short.length) < 10);
});

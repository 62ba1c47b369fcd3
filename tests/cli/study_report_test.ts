/** What the reports of a study say, in Markdown and as a page, of outcomes that nobody had to train. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Outcome } from "../../lib/lab/outcome.ts";
import { type Cell, type Plan, trialsOf } from "../../lib/lab/plan.ts";
import { contentsOfMarkdown, contentsOfPage } from "./page_contents.ts";
import { Workplace } from "./process.ts";

/** What came of a trial: its loss, "diverged", or undefined for a trial without an outcome. */
type Came = number | "diverged" | undefined;

function planOf(changes: Partial<Plan>): Plan {
  return {
    study: "A study",
    about: "What a report says.",
    data: "text.txt",
    tokenizer: "chars",
    base: {},
    seeds: [1, 2, 3],
    cells: [{ name: "base" }, { name: "other" }],
    ...changes,
  };
}

/** The reports of a study, as `lab report` writes them. */
async function reportsOf(
  changes: Partial<Plan>,
  came: (cell: string, seed: number) => Came,
  more: (cell: string) => Partial<Outcome> = () => ({}),
): Promise<{ markdown: string; html: string }> {
  await using here = await Workplace.create();
  const plan = planOf(changes);
  const outcomes = trialsOf(plan).flatMap(
    ({ id, cell, seed, setting }): Outcome[] => {
      const loss = came(cell, seed);
      if (loss === undefined) return [];
      return [{
        ...{ id, cell, seed, setting, parameters: 1000, steps: 9, tokens: 99 },
        ...loss === "diverged"
          ? {
            ...{ valLoss: null, trainLoss: null },
            diverged: { step: 7, message: "NaN" },
          }
          : { valLoss: loss, trainLoss: loss },
        ...{ curve: [], seconds: 1, tokensPerSecond: 1, machine: "none" },
        ...more(cell),
      }];
    },
  );
  await Deno.mkdir(here.file("s"));
  await here.write("s/plan.json", JSON.stringify(plan));
  await here.write(
    "s/trials.jsonl",
    outcomes.map((outcome) => `${JSON.stringify(outcome)}\n`).join(""),
  );
  const { code, stdout, stderr } = await here.run(["lab", "report", "s"]);
  assertEquals(code, 0, stderr);
  const html = await Deno.readTextFile(here.file("s/report.html"));
  for (const text of [stdout, contentsOfPage(html).numbers.join(" ")]) {
    assert(!/NaN|undefined|Infinity/.test(text), text);
  }
  return { markdown: stdout, html };
}

/** The text of a page, without its tags. */
function textOf(html: string): string {
  return html.replace(/<(style|script)>.*?<\/\1>/gs, "").replace(/<[^>]*>/g, "")
    .replaceAll("&#39;", "'").replace(/\s+/g, " ");
}

/** Seeds apart, cells apart. */
const loss = (cell: string, seed: number) =>
  2 + cell.length / 10 + seed * seed / 100;

const comparison = /baseline|less|compared/i;

Deno.test("A report without a baseline to compare with says so, and compares nothing", async () => {
  const one = { cells: [{ name: "base" }] };
  const cases: [string, Partial<Plan>, (cell: string, seed: number) => Came][] =
    [
      ["There is one cell, and nothing to compare it with.", one, loss],
      [
        "Nothing is compared with the baseline, base: 3 trials missing.",
        {},
        (cell, seed) => cell === "base" ? undefined : loss(cell, seed),
      ],
      [
        "Nothing is compared with the baseline, base: 3 trials diverged.",
        {},
        (cell, seed) => cell === "base" ? "diverged" : loss(cell, seed),
      ],
      [
        "Nothing is compared with the baseline, base: 3 trials diverged.",
        {},
        () => "diverged",
      ],
      [
        "Nothing is compared with the baseline, base: 1 trial missing.",
        { seeds: [1] },
        () => undefined,
      ],
      [
        "Nothing is compared with the baseline, base: it sees the future.",
        {
          cells: [{ name: "base", model: { mask: "none" } }, { name: "other" }],
        },
        loss,
      ],
    ];
  for (const [says, changes, came] of cases) {
    const { markdown, html } = await reportsOf(changes, came);
    for (const text of [markdown.replaceAll("`", ""), textOf(html)]) {
      assertStringIncludes(text, says);
      assertEquals(
        text.replace(says, "").match(comparison),
        null,
        `${says}\n${text}`,
      );
    }
    assertEquals(html.includes('id="differences"'), false, says);
  }
  // One trial of the baseline suffices.
  const { markdown, html } = await reportsOf(
    {},
    (cell, seed) => cell === "base" && seed > 1 ? "diverged" : loss(cell, seed),
  );
  const few =
    "The baseline is base, which has a loss with 1 of 3 seeds: differences are over pairs with these.";
  for (const text of [markdown.replaceAll("`", ""), textOf(html)]) {
    assertStringIncludes(text, few);
    assertStringIncludes(text, "less the baseline");
  }
  const all = await reportsOf({}, loss);
  for (const text of [all.markdown.replaceAll("`", ""), textOf(all.html)]) {
    assertStringIncludes(text, "The baseline is base.");
  }
  assertStringIncludes(html, 'id="differences"');
});

Deno.test("One seed has no intervals, and no note on them; three have", async () => {
  const one = await reportsOf({ seeds: [1] }, loss);
  for (const text of [one.markdown, textOf(one.html)]) {
    assertStringIncludes(text, "one seed a cell cannot tell");
    assertEquals(text.match(/\d ± \d|intervals are shown/), null);
  }
  // Cells may have seeds of their own.
  const own = [{ name: "base", seeds: [1, 2, 3] }, { name: "other" }];
  const rough = await reportsOf({ seeds: [1], cells: own }, loss);
  assert(!rough.markdown.includes("cannot tell"), rough.markdown);
  const cells = Array.from({ length: 26 }, (_, i): Cell => ({
    name: `cell-${i}`,
  }));
  const three = await reportsOf({ cells }, loss);
  // 26 losses, 25 differences.
  const note =
    "51 intervals are shown here. Each misses the true value with a chance of 5 %: expect about 2.6 of the 51 to do so.";
  for (const text of [three.markdown, textOf(three.html)]) {
    assertStringIncludes(text, note);
  }
  assertEquals(three.markdown.match(/\d ± \d/g)?.length, 51);
});

Deno.test("Models that see the future stand apart in every table and chart, by their mask alone", async () => {
  const cells: Cell[] = [
    { name: "base" },
    { name: "zeroed", model: { mask: "zeroed" } },
    { name: "weak", model: { mask: "finite", maskValue: -4 } },
    { name: "worse" },
    { name: "strong", model: { mask: "finite", maskValue: -1e4 } },
  ];
  const losses: Record<string, number> = {
    ...{ base: 2, zeroed: 0.1, weak: 0.2, worse: 3, strong: 1.9 },
  };
  for (const experiment of ["ablate", undefined] as const) {
    const { markdown, html } = await reportsOf(
      { cells, ...(experiment && { experiment }) },
      (cell, seed) => losses[cell]! + seed / 100,
    );
    const marked = "sees the future";
    const [table] = contentsOfMarkdown(markdown).tables;
    const names = (rows: readonly (readonly string[])[]) =>
      rows.slice(1).map(([name]) => name!.replace(/[`*]/g, ""))
        .filter((name) => name !== "---");
    const worst = ["worse", "base", "strong"];
    const apart = [`weak ${marked}`, `zeroed ${marked}`];
    assertEquals(
      names(table!),
      experiment === "ablate"
        ? [...worst, ...apart]
        : [...worst.toReversed(), ...apart.toReversed()],
    );
    const page = contentsOfPage(html);
    assertEquals(names(page.tables[0]!), names(table!));
    // The wide chart and the narrow one.
    assertEquals(page.charts.length, 2);
    for (const texts of page.charts) {
      const drawn = texts.join(" ");
      assert(drawn.includes("worse") && drawn.includes("strong"), drawn);
      assert(!/zeroed|weak/.test(drawn), drawn);
    }
    for (const text of [markdown.replaceAll("`", ""), textOf(html)]) {
      assert(
        /(weak, zeroed|zeroed, weak) see the future: their losses mean nothing/
          .test(text),
        text,
      );
    }
  }
});

Deno.test("Names of changes stay different in every chart, and the loss stays in sight", async () => {
  const part = "attentionScale=false+learningRate=0.00";
  const cells = [
    { name: "base" },
    ...[1, 2, 3, 4].map((i) => ({ name: `${part}${i}+positionEncoding=none` })),
    ...[1, 2].map((i) => ({ name: `${part}5+warmup=${i}` })),
  ];
  const { html } = await reportsOf({ cells }, loss);
  for (const texts of contentsOfPage(html).charts) {
    const labels = texts.filter((text) =>
      text.includes("=") && !text.includes(": ")
    );
    assertEquals(labels.length, 6, texts.join("\n"));
    assertEquals(new Set(labels).size, 6, labels.join("\n"));
  }
  const [[head]] = contentsOfPage(html).tables as [[string[]]];
  assertEquals(head[1], "validation loss");
  assertEquals(
    html.match(/<th scope="col" class="[^"]*kept">([^<]*)/)?.[1],
    "validation loss",
  );
});

/** A study of scaling whose losses follow a law exactly, but for that of the last cell. */
function scaling(off: number) {
  const sizes = [1000, 2000, 4000, 8000];
  const amounts = [1e5, 2e5, 4e5];
  const points = sizes.flatMap((parameters) =>
    amounts.map((tokens) => ({
      name: `${parameters}-${tokens}`,
      parameters,
      tokens,
    }))
  ).slice(0, -2);
  const law = ({ parameters, tokens }: typeof points[number]) =>
    1 + 20 * parameters ** -0.5 + 300 * tokens ** -0.5;
  const next = points.at(-1)!.name;
  const of = (name: string) => points.find((point) => point.name === name)!;
  return reportsOf(
    {
      experiment: "scaling",
      cells: points.map(({ name }) => ({ name })),
    },
    // What a seed does falls out of the pairs.
    (cell, seed) => law(of(cell)) + seed / 100 + (cell === next ? off : 0),
    (cell) => of(cell),
  );
}

Deno.test("A study of scaling says whether its prediction missed or held, on both reports alike", async () => {
  for (
    const [off, says, not] of [[0, "held", "missed"], [0.4, "missed", "held"], [
      -0.4,
      "missed",
      "held",
    ]] as const
  ) {
    const { markdown, html } = await scaling(off);
    const verdict = /The prediction (missed|held): [^*]*?\)\./;
    const [sentence] = verdict.exec(markdown)!;
    assertStringIncludes(sentence, `The prediction ${says}: `);
    assertStringIncludes(textOf(html), sentence);
    for (const text of [markdown, textOf(html)]) {
      assert(!text.includes(`prediction ${not}`), text);
    }
  }
  const unfinished = await reportsOf({ experiment: "scaling" }, loss);
  for (const text of [unfinished.markdown, textOf(unfinished.html)]) {
    assertStringIncludes(text, "No law is fitted, so nothing is predicted");
  }
});

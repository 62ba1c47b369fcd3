/** That a document says the same in both of its forms. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Block,
  type Document,
  verbatim,
} from "../../lib/report/document.ts";
import { html } from "../../lib/report/html.ts";
import { markdown, markdownBlock } from "../../lib/report/markdown.ts";
import { markup } from "../../lib/report/markup.ts";
import { isNumber } from "../../lib/report/numbers.ts";
import { Plotter } from "../../lib/report/plotter.ts";
import { contentsOfMarkdown, contentsOfPage } from "../cli/page_contents.ts";

const figure = {
  kind: "figure",
  draw: () => markup`<svg class="plot"><text>7k</text></svg>`,
} as const;

const whole: Document = {
  title: "A <study>",
  lead: ["What `a=b` is **worth**: 1.5 ± 0.1."],
  blocks: [{ kind: "note", text: "2 of 3 trials." }, {
    kind: "code",
    text: "lab & report",
    language: "sh",
  }],
  sections: [
    { id: "drawn", title: "A chart", about: "Of 12 points.", blocks: [figure] },
    {
      id: "cells",
      title: "All cells, -inf & more",
      about: "See [here](#cells), not [there](#else).",
      blocks: [{
        ...{ kind: "table", caption: "Cells" },
        head: ["cell", "loss", "what"],
        rows: [["`x|y`", "**1.5** ± 0.1", "a\nb"], ["`z`", "", "3"]],
      }, figure],
    },
    {
      id: "samples",
      title: "Samples",
      blocks: [{
        kind: "samples",
        samples: [{ title: "x", about: "7 parameters", text: "\nROMEO:\n5 " }, {
          title: "y",
          about: "the same as x",
        }],
      }],
    },
  ],
  source: "3 trials.",
};

async function pageOf(document: Document): Promise<string> {
  return await html(await Plotter.open(), document, "Made by a test.");
}

Deno.test("A document as Markdown has all but its charts, and sections of nothing but charts", () => {
  assertEquals(
    markdown(whole),
    `# A <study>

What \`a=b\` is **worth**: 1.5 ± 0.1.

**2 of 3 trials.**

\`\`\`sh
lab & report
\`\`\`

## All cells, -inf & more

See [here](#all-cells--inf--more), not [there](#else).

| cell | loss | what |
| --- | ---: | --- |
| \`x\\|y\` | **1.5** ± 0.1 | a b |
| \`z\` |  | 3 |

## Samples

**x** (7 parameters):

\`\`\`text
ROMEO:
5
\`\`\`

**y** (the same as x).

3 trials.
`,
  );
});

Deno.test("A document as a page has its charts, and nothing in it is markup by chance", async () => {
  const page = await pageOf(whole);
  for (
    const part of [
      "<h1>A &lt;study&gt;</h1>",
      `What <code>a=<wbr>b</code> is <b>worth</b>: 1.5\u00a0±\u00a00.1.</p>`,
      `<p class="note">2 of 3 trials.</p>`,
      `<pre class="command">lab &amp; report</pre>`,
      `<section id="drawn"`,
      `See <a href="#cells">here</a>, not <a href="#else">there</a>.`,
      "<td><code>x|y</code></td>",
      `<td class="number kept"><b>1.5</b>\u00a0±\u00a00.1</td>`,
      "<b>x</b><span>7 parameters</span></figcaption><pre>ROMEO:\n5</pre>",
      "<b>y</b><span>the same as x</span></figcaption></figure>",
      "<footer>3 trials. Made by a test.</footer>",
    ]
  ) assertStringIncludes(page, part);
  assertEquals(contentsOfPage(page).charts, [["7k"], ["7k"]]);
});

Deno.test("Facts, folded tables and legends are in both forms", async () => {
  const line = { name: "**one**", color: "#123", dash: "4 3" };
  const table: Block = {
    ...{ kind: "table", caption: "All", head: ["run"], rows: [["one"]] },
    ...{ folded: "All runs: 1", lines: [line] },
  };
  const facts: Block = {
    kind: "facts",
    facts: [{ name: "Loss", value: "1.5", about: "nats" }, {
      ...{ name: "Steps", value: "7" },
    }],
  };
  assertEquals([facts, table].flatMap(markdownBlock), [
    "- Loss: 1.5 (nats)\n- Steps: 7",
    "All runs: 1",
    "| run |\n| --- |\n| one |",
  ]);
  const blocks = [facts, table, { ...figure, lines: [line], note: "dashed" }];
  const page = await pageOf({ ...whole, name: "A & B", blocks });
  const key =
    `<svg class="pen" viewBox="0 0 30 12" aria-hidden="true" style="color:#123"><path d="M0 6H30" stroke-dasharray="4 3"/></svg>`;
  for (
    const part of [
      "<title>A &amp; B</title>",
      "<dt>Loss</dt><dd>1.5<small>nats</small></dd>",
      "<dt>Steps</dt><dd>7</dd>",
      `<details><summary>All runs: 1</summary>`,
      `<td><span class="run">${key}one</span></td>`,
      `<div class="legend"><span>${key}<span><b>one</b></span></span>`,
      `<span>dashed</span></div>\n<svg class="plot">`,
    ]
  ) assertStringIncludes(page, part);
});

Deno.test("Nothing in verbatim words is code, bold, a link or markup", async () => {
  const words = "`a` **b** [c](#cells) <i>";
  const page = await pageOf({ ...whole, lead: [`On ${verbatim(words)}.`] });
  const [, shown] = /On <bdi>(.*?)<\/bdi>\.<\/p>/.exec(page)!;
  assertEquals(
    shown!.replaceAll("<wbr>", ""),
    "`a` **b** [c](#cells) &lt;i&gt;",
  );
});

Deno.test("Both forms have the same tables", async () => {
  const plain = (tables: readonly (readonly (readonly string[])[])[]) =>
    tables.map((rows) =>
      rows.filter((cells) => !cells[0]!.startsWith("---")).map((cells) =>
        cells.map((cell) => cell.replace(/[`*]/g, "").replace(/\s+/g, " "))
      )
    );
  const [, { blocks }] = whole.sections as [unknown, { blocks: Block[] }];
  const [table] = blocks as [Extract<Block, { kind: "table" }>];
  const rows = table.rows.map((cells) => cells.map((c) => c.replace("|", "")));
  const sections = [{ ...whole.sections[1]!, blocks: [{ ...table, rows }] }];
  const document = { ...whole, sections };
  assertEquals(
    plain(contentsOfMarkdown(markdown(document)).tables),
    plain(contentsOfPage(await pageOf(document)).tables),
  );
});

Deno.test("Text that a model wrote cannot leave its block, and long lines are broken", () => {
  const [, block] = markdownBlock({
    kind: "samples",
    samples: [{ title: "x", text: `\`\`\`\n# no heading\n${"w".repeat(100)}` }],
  });
  const lines = block!.split("\n");
  assertEquals([lines[0], lines.at(-1)], ["````text", "````"]);
  assertEquals(lines.filter((line) => line.startsWith("w")).length, 2);
  assert(lines.every((line) => line.length <= 76), block);
});

Deno.test("Numbers are aligned as numbers, and nothing else is", () => {
  for (
    const text of [
      ...["", "1,200", "-0.5", "+0.31 ± 0.02", "3e-4", "46k", "1:02:03"],
      "1.5\u00a0±\u00a00.1",
    ]
  ) assert(isNumber(text), text);
  for (const text of ["none", "1 of 2", "2, 3", "1.5 (+0.1)", "L2-C32", "±"]) {
    assert(!isNumber(text), text);
  }
});

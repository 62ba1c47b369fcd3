import { assertEquals, assertNotEquals } from "@std/assert";
import { contentsOfMarkdown, contentsOfPage } from "./page_contents.ts";

const html =
  `<!doctype html><html><head><style>p{margin:1px}</style></head><body><main>
<header><h1>A study</h1><p class="note">2 of 3 trials are done.</p></header><nav><a href="#a">A</a></nav>
<section><p>Loss 1.70 &amp; 1,200 steps, -0.5 to +3e-4.</p>
<table><thead><tr><th>cell</th></tr></thead><tbody><tr><td>nEmbd=<b>8</b></td></tr></tbody></table>
<svg><text>7k</text><circle><title>step 7: 1.5</title></circle></svg><pre>ROMEO:
5</pre></section><footer>Drawn by lm 0.1.0.</footer></main></body></html>`;

Deno.test("Contents of a page are its tables, charts, texts and numbers, without style, links and footer", () => {
  assertEquals(contentsOfPage(html), {
    tables: [[["cell"], ["nEmbd=8"]]],
    charts: [["7k", "step 7: 1.5"]],
    texts: ["ROMEO: 5"],
    numbers: ["2", "3", "1.70", "1,200", "-0.5", "+3e-4"],
  });
  const other = html.replace("0.1.0", "0.1.1").replace("1px", "2px")
    .replace("trials are done", "trials have an outcome");
  assertEquals(contentsOfPage(other), contentsOfPage(html));
});

Deno.test("Contents differ where a number, a cell, a label or a text does", () => {
  for (
    const [from, to] of [
      ["1.70", "1.71"],
      ["<b>8", "<b>9"],
      ["7k", "8k"],
      [
        "step 7: 1.5",
        "step 7: 1.6",
      ],
      ["ROMEO", "JULIET"],
      ["2 of 3", "3 of 3"],
    ] as const
  ) {
    assertNotEquals(
      contentsOfPage(html.replace(from, to)),
      contentsOfPage(html),
    );
  }
});

Deno.test("Contents of Markdown are its tables, texts and numbers", () => {
  const text = `# A study\n\nThe base: nLayer 2.\n
| cell | loss |\n| --- | ---: |\n| \`a\` | 1.5 ± 0.1 |\n\n    ROMEO: 5\n\n54 of 54 trials in 39:44.\n`;
  assertEquals(contentsOfMarkdown(text), {
    tables: [[["cell", "loss"], ["---", "---:"], ["`a`", "1.5 ± 0.1"]]],
    charts: [],
    texts: ["    ROMEO: 5"],
    numbers: ["2", "54", "54", "39:44"],
  });
});

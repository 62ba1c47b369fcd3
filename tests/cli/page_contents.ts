/**
 * What a report says, apart from how it is laid out: its tables, the numbers in its text and the
 * labels of its charts. A page that says the same passes whatever its style, its script, its
 * footer and the words between its numbers.
 */

import { parseHTML } from "linkedom";

/** What is read of a page's document. */
export interface PageElement {
  readonly id: string;
  readonly textContent: string;
  readonly outerHTML: string;
  getAttribute(name: string): string | null;
  querySelector(selector: string): PageElement | null;
  querySelectorAll(
    selector: string,
  ): Iterable<PageElement> & { readonly length: number };
  remove(): void;
}

/** What a report says. */
export interface Contents {
  /** Each table as rows of cells, the head first. */
  readonly tables: readonly (readonly (readonly string[])[])[];
  /** Of each chart the texts that are drawn and those that appear when it is pointed at. */
  readonly charts: readonly (readonly string[])[];
  /** Texts that a model wrote, and commands. */
  readonly texts: readonly string[];
  /** All other numbers, in order. */
  readonly numbers: readonly string[];
}

/** Reads an HTML page, or a chart in a file of its own. */
export function contentsOfPage(html: string): Contents {
  const main = mainOf(html.startsWith("<svg") ? `<main>${html}</main>` : html);
  const take = (selector: string) => {
    const found = [...main.querySelectorAll(selector)];
    for (const element of found) element.remove();
    return found;
  };
  take("footer, nav, style");
  const tables = take("table").map((table) =>
    [...table.querySelectorAll("tr")].map((row) =>
      Array.from(row.querySelectorAll("th, td"), textOf)
    )
  );
  const charts = take("svg").map((svg) =>
    Array.from(svg.querySelectorAll("text, title"), textOf)
  );
  const texts = take("pre").map(textOf);
  // A number ends where its element does.
  const spaced = mainOf(main.outerHTML.replaceAll("<", " <"));
  return { tables, charts, texts, numbers: numbersIn(spaced.textContent) };
}

function mainOf(html: string): PageElement {
  const { document } = parseHTML(html) as unknown as { document: PageElement };
  return document.querySelector("main")!;
}

/** Reads a report in Markdown. */
export function contentsOfMarkdown(markdown: string): Contents {
  const isTable = (line: string) => line.startsWith("|");
  const isText = (line: string) => line.startsWith("    ");
  const lines = markdown.split("\n");
  const tables: string[][][] = [];
  for (const [i, line] of lines.entries()) {
    if (!isTable(line)) continue;
    if (!isTable(lines[i - 1] ?? "")) tables.push([]);
    tables.at(-1)!.push(line.split("|").slice(1, -1).map((it) => it.trim()));
  }
  const rest = lines.filter((line) => !isTable(line) && !isText(line));
  return {
    tables,
    charts: [],
    texts: lines.filter(isText),
    numbers: numbersIn(rest.join("\n")),
  };
}

function textOf({ textContent }: PageElement): string {
  return textContent.replace(/\s+/g, " ").trim();
}

/** Numbers as they are written: 1,200, -0.5, 3e-4, 1:02:03, 5 %. */
function numbersIn(text: string): string[] {
  return text.match(/(?<![\w.])[-+−]?\d[\d,.:]*(?:e-?\d+)?(?<![,.:])/g) ?? [];
}

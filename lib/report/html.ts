/**
 * Prints a document as a page: one HTML file that loads no others, and whose content security
 * policy forbids it to.
 */

import type {
  Block,
  Document,
  Figure,
  Sample,
  Section,
  Table,
  Text,
} from "./document.ts";
import { breakable } from "./labels.ts";
import { type Content, Markup, markup, textOf } from "./markup.ts";
import { isNumber } from "./numbers.ts";
import { type Line, lineKey } from "./pens.ts";
import type { Plotter } from "./plotter.ts";
import { script } from "./script.ts";
import { style } from "./style.ts";

/**
 * Returns the page as text.
 *
 * @param madeBy content of the footer after the document's source
 */
export async function html(
  plotter: Plotter,
  { title, name = title, lead, blocks, sections, source }: Document,
  madeBy: string,
): Promise<string> {
  const show = (blocks: readonly Block[]) =>
    blocks.map((block) =>
      markup`${blockMarkup(plotter, block)}
`
    );
  const { text } = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${await policy()}">
<title>${name}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
<header>
<h1>${title}</h1>
${
    lead.map((text) =>
      markup`<p class="summary">${inline(text)}</p>
`
    )
  }${show(blocks)}</header>
<nav aria-label="Sections">
${
    sections.map(({ id, title }) =>
      markup`<a href="#${id}">${title}</a>
`
    )
  }</nav>
${
    sections.map(({ id, title, about = "", blocks }: Section) =>
      markup`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${
        about !== "" && markup`<p class="about">${inline(about)}</p>
`
      }${show(blocks)}</section>
`
    )
  }<footer>${inline(source)} ${madeBy}</footer>
</main>
<script>${new Markup(script)}</script>
</body>
</html>
`;
  return text;
}

/** Returns a content security policy that allows only the page's own style and script. */
async function policy(): Promise<string> {
  const bytes = new TextEncoder().encode(script);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    `script-src 'sha256-${new Uint8Array(digest).toBase64()}'`,
  ].join("; ");
}

function blockMarkup(plotter: Plotter, block: Block): Markup {
  switch (block.kind) {
    case "heading":
      return markup`<h3>${inline(block.text)}</h3>`;
    case "text":
      return markup`<p class="prose">${inline(block.text)}</p>`;
    case "note":
      return markup`<p class="note">${inline(block.text)}</p>`;
    case "code":
      return markup`<pre class="command">${block.text}</pre>`;
    case "samples":
      return markup`<div class="samples">${block.samples.map(sample)}</div>`;
    case "facts":
      return markup`<dl class="tiles">${
        block.facts.map(({ name, value, about }) =>
          markup`<div><dt>${name}</dt><dd>${value}${
            about !== undefined && markup`<small>${about}</small>`
          }</dd></div>
`
        )
      }</dl>`;
    case "table":
      return table(block);
    case "figure":
      return block.caption === undefined
        ? markup`${figureLegend(block)}${block.draw(plotter)}`
        : figure(plotter, block);
    case "figures":
      return markup`${figureLegend(block)}<div class="charts">${
        block.figures.map((each) => figure(plotter, each))
      }</div>`;
    case "beside":
      return markup`<div class="beside">${
        block.blocks.map((each) =>
          markup`<div>${blockMarkup(plotter, each)}</div>`
        )
      }</div>`;
  }
}

function figure(plotter: Plotter, shown: Figure): Markup {
  return markup`<figure><figcaption>${shown.caption}${
    figureLegend(shown)
  }</figcaption>${shown.draw(plotter)}</figure>`;
}

function figureLegend(
  { lines = [], note }: Pick<Figure, "lines" | "note">,
): Content {
  return (lines.length > 0 || note !== undefined) && legend(lines, note);
}

/** Returns a legend: a key and a name for each line, then the note. */
export function legend(lines: readonly Line[], note?: Text): Markup {
  return markup`<div class="legend">${
    lines.map((line) =>
      markup`<span>${lineKey(line)}<span>${inline(line.name)}</span></span>
`
    )
  }${note !== undefined && markup`<span>${inline(note)}</span>`}</div>
`;
}

function sample({ title, about, text }: Sample): Markup {
  return markup`<figure><figcaption><b>${title}</b>${
    about !== undefined && markup`<span>${about}</span>`
  }</figcaption>${
    text !== undefined && markup`<pre>${text.trim()}</pre>`
  }</figure>
`;
}

/**
 * Returns a table that scrolls sideways if it is too wide, with columns of numbers aligned at the
 * right. On a phone its first column and the loss column stay in view.
 */
function table({ caption, head, rows, prose, lines, folded }: Table): Markup {
  const loss = head.findIndex((cell) => /\bloss\b/.test(cell));
  const cells = rows.map((row) => row.map(inline));
  const kinds = head.map((_, column) => {
    const names = [
      ...cells.every((row) => isNumber(plain(row[column]))) ? ["number"] : [],
      ...column === loss ? ["kept"] : [],
    ];
    return names.length > 0
      ? new Markup(` class="${names.join(" ")}"`)
      : undefined;
  });
  const shown =
    markup`${sideways}<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table>
<thead><tr>${
      head.map((cell, i) =>
        markup`<th scope="col"${kinds[i]}>${inline(cell)}</th>`
      )
    }</tr></thead>
<tbody>
${
      cells.map((row, i) =>
        markup`<tr>${
          row.map((cell, column) =>
            markup`<td${kinds[column]}>${
              column === 0 && lines !== undefined
                ? markup`<span class="run">${lineKey(lines[i]!)}${cell}</span>`
                : cell
            }</td>`
          )
        }</tr>
`
      )
    }</tbody></table></div>`;
  if (folded !== undefined) {
    return markup`<details><summary>${
      inline(folded)
    }</summary>${shown}</details>`;
  }
  return prose ? markup`<div class="sentences">${shown}</div>` : shown;
}

/** Returns a cell's text without its tags. */
function plain(cell: Content): string {
  return textOf(cell).replace(/<[^>]*>/g, "");
}

/** A hint placed before a box that may scroll; the page's script shows the hint if the box does. */
export const sideways: Markup =
  markup`<p class="sideways" hidden>more at the side: scroll ⇄</p>
`;

/** Formats text with its code, bold words and links; keeps a number and its margin on one line. */
export function inline(text: Text): Markup {
  const parts =
    /(\u2068[^\u2069]*\u2069|`[^`]+`|\*\*.+?\*\*|\[[^\]]+\]\((?:#[^)]+|[\w./%-]+\.html)\))/;
  return markup`${
    text.split(parts).map((piece, i) => {
      if (i % 2 === 0) return piece.replaceAll(" ± ", "\u00a0±\u00a0");
      if (piece.startsWith("\u2068")) {
        return markup`<bdi>${breakable(piece.slice(1, -1))}</bdi>`;
      }
      if (piece.startsWith("`")) {
        return markup`<code>${breakable(piece.slice(1, -1))}</code>`;
      }
      if (piece.startsWith("*")) {
        return markup`<b>${inline(piece.slice(2, -2))}</b>`;
      }
      const [, words, to] = /^\[(.*)\]\((.*)\)$/.exec(piece)!;
      return markup`<a href="${to}">${words}</a>`;
    })
  }`;
}

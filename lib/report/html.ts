/** Prints a document as a page. */

import type { Block, Document, Figure, Sample, Text } from "./document.ts";
import { breakable } from "./labels.ts";
import { type Markup, markup } from "./markup.ts";
import { page, table } from "./page.ts";
import type { Plotter } from "./plotter.ts";

/**
 * Returns the page as text.
 *
 * @param madeBy content of the footer after the document's source
 */
export async function html(
  plotter: Plotter,
  { title, lead, blocks, sections, source }: Document,
  madeBy: string,
): Promise<string> {
  return await page({
    title,
    header: markup`<h1>${title}</h1>
${lead.map((text) => markup`<p class="summary">${inline(text)}</p>`)}
${blocks.map((block) => blockMarkup(plotter, block))}`,
    sections: sections.map(({ id, title, about, blocks }) => ({
      ...{ id, title },
      ...about && { about: inline(about) },
      content: blocks.map((block) => blockMarkup(plotter, block)),
    })),
    footer: markup`${inline(source)} ${madeBy}`,
  });
}

function blockMarkup(plotter: Plotter, block: Block): Markup {
  switch (block.kind) {
    case "heading":
      return markup`<h3>${inline(block.text)}</h3>`;
    case "text":
      return markup`<p class="prose">${inline(block.text)}</p>`;
    case "note":
      return note(block.text);
    case "code":
      return markup`<pre class="command">${block.text}</pre>`;
    case "samples":
      return samples(block.samples);
    case "table": {
      const { caption, head, rows, prose } = block;
      const shown = table({
        caption,
        head: head.map(inline),
        rows: rows.map((cells) => cells.map(inline)),
      });
      return prose ? markup`<div class="told">${shown}</div>` : shown;
    }
    case "figure":
      return block.caption === undefined
        ? block.draw(plotter)
        : figureMarkup(plotter, block);
    case "figures":
      return markup`<div class="charts">${
        block.figures.map((figure) => figureMarkup(plotter, figure))
      }</div>`;
    case "beside":
      return markup`<div class="beside">${
        block.blocks.map((each) =>
          markup`<div>${blockMarkup(plotter, each)}</div>`
        )
      }</div>`;
  }
}

function figureMarkup(plotter: Plotter, { caption, draw }: Figure): Markup {
  return markup`<figure><figcaption>${caption}</figcaption>${
    draw(plotter)
  }</figure>`;
}

/** Returns a note that the reader should see first. */
export function note(text: Text): Markup {
  return markup`<p class="note">${inline(text)}</p>
`;
}

/** Returns samples of models' text, side by side. */
export function samples(all: readonly Sample[]): Markup {
  return markup`<div class="samples">${
    all.map(({ title, about, text }) =>
      markup`<figure><figcaption><b>${title}</b>${
        about !== undefined && markup`<span>${about}</span>`
      }</figcaption>${
        text !== undefined && markup`<pre>${text.trim()}</pre>`
      }</figure>
`
    )
  }</div>`;
}

/** Formats text with its code, bold words and links; keeps a number and its margin on one line. */
export function inline(text: Text): Markup {
  return markup`${
    text.split(/(`[^`]+`|\*\*.+?\*\*|\[[^\]]+\]\(#[^)]+\))/).map((piece, i) => {
      if (i % 2 === 0) return piece.replaceAll(" ± ", "\u00a0±\u00a0");
      if (piece.startsWith("`")) {
        return markup`<code>${breakable(piece.slice(1, -1))}</code>`;
      }
      if (piece.startsWith("*")) {
        return markup`<b>${inline(piece.slice(2, -2))}</b>`;
      }
      const [, words, id] = /^\[(.*)\]\(#(.*)\)$/.exec(piece)!;
      return markup`<a href="#${id}">${words}</a>`;
    })
  }`;
}

/**
 * The HTML document around a report's sections. It loads no other files, and its content security
 * policy forbids it to.
 */

import { type Content, Markup, markup, textOf } from "./markup.ts";
import { isNumber } from "./numbers.ts";
import { script } from "./script.ts";
import { style } from "./style.ts";

/** A part of the page. */
export interface PageSection {
  /** Its anchor. */
  readonly id: string;
  readonly title: string;
  /** A sentence or two about the content of the section. */
  readonly about?: Content;
  readonly content: Content;
}

/** Returns a whole page as text. */
export async function page(
  { title, header, sections, footer }: {
    readonly title: string;
    readonly header: Content;
    readonly sections: readonly PageSection[];
    readonly footer: Content;
  },
): Promise<string> {
  const { text } = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${await policy()}">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
<header>
${header}
</header>
<nav aria-label="Sections">
${
    sections.map(({ id, title }) =>
      markup`<a href="#${id}">${title}</a>
`
    )
  }</nav>
${sections.map(sectionMarkup)}<footer>${footer}</footer>
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

function sectionMarkup({ id, title, about, content }: PageSection): Markup {
  return markup`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${
    about !== undefined && markup`<p class="about">${about}</p>
`
  }${content}
</section>
`;
}

/**
 * Returns a table that scrolls sideways if it is too wide, with columns of numbers aligned at the
 * right. On a phone its first column and the loss column stay in view.
 */
export function table(
  { head, rows, caption }: {
    readonly head: readonly Content[];
    readonly rows: readonly (readonly Content[])[];
    readonly caption: string;
  },
): Markup {
  const loss = head.findIndex((cell) => /\bloss\b/.test(textOf(cell)));
  const kinds = head.map((_, column) => {
    const names = [
      ...rows.every((cells) => isNumber(plain(cells[column])))
        ? ["number"]
        : [],
      ...column === loss ? ["kept"] : [],
    ];
    return names.length > 0
      ? new Markup(` class="${names.join(" ")}"`)
      : undefined;
  });
  return markup`${sideways}<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table>
<thead><tr>${
    head.map((cell, i) => markup`<th scope="col"${kinds[i]}>${cell}</th>`)
  }</tr></thead>
<tbody>
${
    rows.map((cells) =>
      markup`<tr>${
        cells.map((cell, i) => markup`<td${kinds[i]}>${cell}</td>`)
      }</tr>
`
    )
  }</tbody></table></div>`;
}

/** Returns a cell's text without its tags. */
function plain(cell: Content): string {
  return textOf(cell).replace(/<[^>]*>/g, "");
}

/** A hint placed before a box that may scroll; the page's script shows the hint if the box does. */
export const sideways: Markup =
  markup`<p class="sideways" hidden>more at the side: scroll ⇄</p>
`;

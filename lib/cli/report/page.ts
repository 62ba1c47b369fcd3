/** The document around a report's sections. It loads nothing, and its policy says so to the browser. */

import { type Content, html, Markup } from "./html.ts";
import { script } from "./script.ts";
import { style } from "./style.ts";

/** A part of the page. */
export interface Section {
  /** Its anchor. */
  readonly id: string;
  readonly title: string;
  /** A sentence or two on what is to be seen. */
  readonly about?: Content;
  readonly content: Content;
}

/** A whole page as text. */
export async function page(
  { title, header, sections, footer }: {
    readonly title: string;
    readonly header: Markup;
    readonly sections: readonly Section[];
    readonly footer: Content;
  },
): Promise<string> {
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(script),
  );
  const policy = [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    `script-src 'sha256-${new Uint8Array(digest).toBase64()}'`,
  ].join("; ");
  const { text } = html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta http-equiv="Content-Security-Policy" content="${policy}">
        <title>${title}</title>
        <style>${new Markup(style)}</style>
      </head>
      <body>
        <main>
    <header>${header}</header>
    <nav aria-label="Sections">${sections.map(({ id, title }) =>
      html`
        <a href="#${id}">${title}</a>
      `
    )}</nav>
    ${sections.map(({ id, title, about, content }) =>
      html`
        <section id="${id}" aria-labelledby="${id}-title">
        <h2 id="${id}-title">${title}</h2>
        ${about !== undefined && html`<p class="about">${about}</p>`}
        ${content}
        </section>
      `
    )}<footer>${footer}</footer>
        </main>
        <script>${new Markup(script)}</script>
      </body>
    </html>
  `;
  return text;
}

/** A table; cells that are numbers stand at the right. */
export function table(
  { head, rows, caption }: {
    readonly head: readonly Content[];
    readonly rows: readonly (readonly Content[])[];
    readonly caption: string;
  },
): Markup {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="${caption}">
      <table>
        <thead>
          <tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr>
        </thead>
        <tbody>${rows.map((cells) =>
          html`
            <tr>${cells.map((cell) =>
              isNumber(cell)
                ? html`<td class="number">${cell}</td>`
                : html`<td>${cell}</td>`
            )}</tr>
          `
        )}</tbody>
      </table>
    </div>
  `;
}

function isNumber(cell: Content): boolean {
  return typeof cell === "number" ||
    (typeof cell === "string" && /^[-\d][\d.,e-]*$/.test(cell));
}

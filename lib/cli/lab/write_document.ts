/** Writes a report into a directory, once as Markdown and once as a page. */

import { join } from "@std/path";
import type { Document } from "../../report/document.ts";
import { markdown } from "../../report/markdown.ts";
import { VERSION } from "../command/program.ts";
import { files, writeFile } from "./study.ts";

/** Writes the Markdown, and then the page, which needs packages that may not be here; returns the Markdown. */
export async function writeDocument(
  directory: string,
  document: Document,
): Promise<string> {
  const text = markdown(document);
  await writeFile(join(directory, files.report), text);
  await writeFile(join(directory, files.page), await pageOf(document));
  return text;
}

/** Renders a document as a page. */
export async function pageOf(document: Document): Promise<string> {
  const { openPlotter } = await import("../report/open_plotter.ts");
  const { html } = await import("../../report/html.ts");
  return await html(await openPlotter(), document, `Drawn by lm ${VERSION}.`);
}

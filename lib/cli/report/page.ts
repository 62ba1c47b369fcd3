/** Renders documents as pages with charts; an error says how to get the plotting library. */

import type { Document } from "../../report/document.ts";
import { html } from "../../report/html.ts";
import { type Packages, packages, Plotter } from "../../report/plotter.ts";
import { commandError } from "../command/errors.ts";
import { VERSION } from "../command/program.ts";

/** Renders a document as a page. */
export async function pageOf(
  document: Document,
  plotter?: Plotter,
): Promise<string> {
  plotter ??= await openPlotter();
  return await html(plotter, document, `Drawn by lm ${VERSION}.`);
}

/**
 * Loads the packages that draw charts.
 *
 * @throws {CommandError} if they are not cached and cannot be downloaded
 */
export async function openPlotter(
  load?: () => Promise<Packages>,
): Promise<Plotter> {
  try {
    return await Plotter.open(load);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw commandError(
      "draw",
      `the packages ${
        packages.map((name) => name.replace("npm:", "")).join(" and ")
      } are not cached and cannot be downloaded (${message.split("\n")[0]})`,
      `with a network, deno cache ${packages.join(" ")} downloads them once`,
    );
  }
}

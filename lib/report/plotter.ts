/** Observable Plot and a document to draw in, loaded when a report is made. */

import type * as PlotModule from "@observablehq/plot";
import type * as DomModule from "linkedom";
import { Markup } from "./markup.ts";

/** The library's functions. */
export type Plot = typeof PlotModule;

/** Options of an axis. */
export type ScaleOptions = PlotModule.ScaleOptions;

/** A picture's size and its description for screen readers. */
export interface PictureOptions extends PlotModule.PlotOptions {
  readonly width: number;
  readonly height: number;
  readonly ariaLabel: string;
}

/** A conversion from values to pixels and back. */
export interface Scale {
  apply(value: number): number;
  invert(pixel: number): number;
}

/** Reserves a line below the ticks for the label of the x axis, which would otherwise be beside the last tick. */
function withRoomForLabel<Options extends PlotModule.PlotOptions>(
  options: Options,
): Options {
  const { label, axis } = options.x ?? {};
  return typeof label === "string" && axis !== "top"
    ? { marginBottom: 36, ...options }
    : options;
}

/** The loaded plotting library and document. */
export interface Packages {
  readonly plot: Plot;
  /** An empty document, with the type of a browser's document. */
  readonly document: unknown;
}

/** Names and versions as `deno.json` has them. */
export const packages = [
  "npm:@observablehq/plot@0.6.17",
  "npm:linkedom@0.18.12",
] as const;

async function loadPackages(): Promise<Packages> {
  // Computed specifiers: Deno would fetch literal ones whatever the command.
  const [plotting, documents] = packages;
  const [plot, { parseHTML }] = await Promise.all([
    import(plotting) as Promise<Plot>,
    import(documents) as Promise<typeof DomModule>,
  ]);
  const { document } = parseHTML("<html></html>") as unknown as Packages;
  return { plot, document };
}

/** Draws charts as SVG text. */
export class Plotter {
  /** Makes marks. */
  readonly plot: Plot;
  readonly #document: unknown;

  private constructor(plot: Plot, document: unknown) {
    this.plot = plot;
    this.#document = document;
  }

  /** Loads the packages; rejects if they are not cached and cannot be fetched. */
  static async open(
    load: () => Promise<Packages> = loadPackages,
  ): Promise<Plotter> {
    const { plot, document } = await load();
    return new Plotter(plot, document);
  }

  /** Returns the scale that a picture of these options uses for this axis. The options must give the axis a domain. */
  scale(options: PlotModule.PlotOptions, axis: "x" | "y"): Scale {
    const picture = this.plot.plot({
      ...withRoomForLabel(options),
      document: this.#document as never,
    });
    return (picture as unknown as PlotModule.Plot).scale(axis) as Scale;
  }

  /** Draws one picture, as wide as the page allows, in the page's colours. */
  draw({ className = "plot", ...options }: PictureOptions): Markup {
    const picture = this.plot.plot({
      ...withRoomForLabel(options),
      className,
      document: this.#document as never,
    });
    const svg = (picture as { readonly outerHTML: string }).outerHTML
      // Its style is the page's; its numbers need no more than a hundredth of a pixel.
      .replace(/<style>[^]*?<\/style>/, "")
      .replace(
        /(?<=\s(?:[dxy]|[xyr][12]?|c[xy]|transform|width|height)=")[^"]*/g,
        (numbers) =>
          numbers.replace(
            /\d+\.\d{3,}/g,
            (n) => String(Number(Number(n).toFixed(2))),
          ),
      );
    return new Markup(svg.replace("<svg ", '<svg role="img" '));
  }
}

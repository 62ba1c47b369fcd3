/**
 * A report as plain data. `markdown.ts` prints it for a terminal and for GitHub, `html.ts` as a
 * page. Charts are functions that take the plotting library, so only pages have them.
 */

import type { Markup } from "./markup.ts";
import type { Line } from "./pens.ts";
import type { Plotter } from "./plotter.ts";

/**
 * Words with `code` between backticks, **bold** between two stars, [links](#id) to a section or
 * to another page of the same site, and verbatim words (see `verbatim`).
 */
export type Text = string;

/**
 * Marks words that come from outside, such as a file's name: nothing in them is read as code, bold
 * or a link, and their direction of writing does not change that of the words around them. The
 * marks are Unicode's own for that, so a terminal and GitHub know them too.
 */
export function verbatim(words: string): Text {
  return `\u2068${words}\u2069`;
}

/** A whole report. */
export interface Document {
  readonly title: string;
  /** The title in lists of pages, if it is another one. */
  readonly name?: string;
  /** The first paragraphs. */
  readonly lead: readonly Text[];
  /** Blocks before the first section. */
  readonly blocks: readonly Block[];
  readonly sections: readonly Section[];
  /** The last paragraph: where the numbers come from. */
  readonly source: Text;
}

/** A part of a report. */
export interface Section {
  /** Its anchor. */
  readonly id: string;
  readonly title: string;
  /** A sentence or two about the content of the section. */
  readonly about?: Text;
  readonly blocks: readonly Block[];
}

/** A piece of a section. */
export type Block =
  | { readonly kind: "heading" | "text" | "note"; readonly text: Text }
  | { readonly kind: "code"; readonly text: string; readonly language: string }
  | { readonly kind: "samples"; readonly samples: readonly Sample[] }
  | { readonly kind: "facts"; readonly facts: readonly Fact[] }
  | ({ readonly kind: "table" } & Table)
  | ({ readonly kind: "figure" } & Figure)
  /** Small charts side by side, with the legend that they share. */
  | {
    readonly kind: "figures";
    readonly lines?: readonly Line[];
    readonly figures: readonly Figure[];
  }
  /** Blocks side by side, if the page is wide enough. */
  | { readonly kind: "beside"; readonly blocks: readonly Block[] };

/** A result of a report that should be seen first. */
export interface Fact {
  readonly name: string;
  readonly value: string;
  readonly about?: string | undefined;
}

/** A table. A column whose cells are all numbers is aligned at the right. */
export interface Table {
  /** Description of the table for screen readers. */
  readonly caption: string;
  readonly head: readonly Text[];
  readonly rows: readonly (readonly Text[])[];
  /** True if cells are sentences, which a page may break into lines. */
  readonly prose?: boolean;
  /** For each row, how charts draw it; a page repeats that before the row. */
  readonly lines?: readonly Line[];
  /** Words for a long table, which a page shows in its place until the reader asks for it. */
  readonly folded?: string;
}

/** A chart, which only pages have. */
export interface Figure {
  readonly caption?: string;
  /** The legend. */
  readonly lines?: readonly Line[];
  /** Words after the legend. */
  readonly note?: Text;
  readonly draw: (plotter: Plotter) => Markup;
}

/** Text written by a model. */
export interface Sample {
  readonly title: string;
  readonly about?: string;
  /** The text; absent if `about` says everything. */
  readonly text?: string;
}

/** Returns the values that are not undefined. */
export function present<Value>(
  values: readonly (Value | undefined)[],
): Value[] {
  return values.filter((value) => value !== undefined);
}

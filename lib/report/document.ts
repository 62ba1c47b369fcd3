/**
 * What a report says, as plain data. `markdown.ts` prints it for a terminal and for GitHub,
 * `html.ts` as a page. Charts are functions of the library that draws them: only pages have them.
 */

import type { Markup } from "./markup.ts";
import type { Plotter } from "./plotter.ts";

/** Words with `code` between backticks, **bold** between two stars and [links](#id) to a section. */
export type Text = string;

/** A whole report. */
export interface Document {
  readonly title: string;
  /** The first paragraphs. */
  readonly lead: readonly Text[];
  /** What stands before the sections. */
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
  /** A sentence or two on what is to be seen. */
  readonly about?: Text;
  readonly blocks: readonly Block[];
}

/** A piece of a section. */
export type Block =
  | { readonly kind: "heading" | "text" | "note"; readonly text: Text }
  | { readonly kind: "code"; readonly text: string; readonly language: string }
  | { readonly kind: "samples"; readonly samples: readonly Sample[] }
  | ({ readonly kind: "table" } & Table)
  | ({ readonly kind: "figure" } & Figure)
  /** Small charts side by side. */
  | { readonly kind: "figures"; readonly figures: readonly Figure[] }
  /** Blocks that stand side by side where there is room. */
  | { readonly kind: "beside"; readonly blocks: readonly Block[] };

/** A table. A column whose cells are all numbers is aligned at the right. */
export interface Table {
  /** What it is called for those who do not see it. */
  readonly caption: string;
  readonly head: readonly Text[];
  readonly rows: readonly (readonly Text[])[];
  /** Whether cells are sentences, which a page may break into lines. */
  readonly prose?: boolean;
}

/** A chart, which only pages have. */
export interface Figure {
  readonly caption?: string;
  readonly draw: (plotter: Plotter) => Markup;
}

/** What a model wrote. */
export interface Sample {
  readonly title: string;
  readonly about?: string;
  /** Absent where `about` says it all. */
  readonly text?: string;
}

/** Leaves out what is undefined. */
export function present<Value>(
  values: readonly (Value | undefined)[],
): Value[] {
  return values.filter((value) => value !== undefined);
}

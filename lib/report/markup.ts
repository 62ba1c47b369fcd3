/** HTML built from templates: every value that is not markup already is escaped. */

/** Text that is HTML. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Values that a template accepts; undefined and false render as nothing. */
export type Content =
  | string
  | number
  | Markup
  | undefined
  | false
  | readonly Content[];

/** Fills a template; values are escaped for use in elements and in quoted attributes. */
export function markup(
  strings: TemplateStringsArray,
  ...values: readonly Content[]
): Markup {
  let text = strings[0]!;
  values.forEach((value, i) => text += textOf(value) + strings[i + 1]!);
  return new Markup(text);
}

/** Renders a value as HTML. */
export function textOf(value: Content): string {
  if (value === undefined || value === false) return "";
  if (value instanceof Markup) return value.text;
  if (typeof value === "object") return value.map(textOf).join("");
  return escapeHtml(String(value));
}

/** Escapes a text so that none of its characters is read as markup. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => entities[char]!);
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** HTML as text that cannot be broken by what is put into it: everything is escaped that is not markup already. */

/** Text that is HTML. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What may stand in a template; nothing is shown of undefined and false. */
export type Content =
  | string
  | number
  | Markup
  | undefined
  | false
  | readonly Content[];

/** A template whose values are escaped, in elements as in quoted attributes. */
export function markup(
  strings: TemplateStringsArray,
  ...values: readonly Content[]
): Markup {
  let text = strings[0]!;
  values.forEach((value, i) => text += textOf(value) + strings[i + 1]!);
  return new Markup(text);
}

/** What is shown of something, as HTML. */
export function textOf(value: Content): string {
  if (value === undefined || value === false) return "";
  if (value instanceof Markup) return value.text;
  if (typeof value === "object") return value.map(textOf).join("");
  return escapeHtml(String(value));
}

/** Text in which no character means markup. */
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

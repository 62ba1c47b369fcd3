/** Line ends: training data and prompts have LF alone, wherever they come from. */

/** Replaces each CR LF in a text by LF. A CR alone is a character like any other. */
export function withPlainLineEnds(text: string): string {
  return text.replaceAll("\r\n", "\n");
}

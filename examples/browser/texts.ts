/// <reference lib="dom" />

/** The texts that the page offers. */

import { byId } from "./elements.ts";
import { say } from "./status.ts";

const field = byId("ownText", HTMLTextAreaElement);

/** Most characters of a file that the field shows: it would take minutes to lay out the largest texts. */
const MOST_SHOWN = 200_000;

/** Text of a file that is too long for the field; undefined once the field has a text. */
let longText: string | undefined;
field.addEventListener("input", () => longText = undefined);

/** A choice in the page's list of texts. */
export type TextName = "whole" | "excerpt" | "own";

/** True if the page can load the whole text: it lies beside a page that came from a server. */
export const canLoad: boolean = location.protocol.startsWith("http");

/**
 * Returns a text, with plain line ends as the command line has them.
 *
 * @throws {Error} if the text cannot be loaded or is empty
 */
export async function loadText(name: TextName): Promise<string> {
  const text = name === "whole"
    ? await loadWhole()
    : name === "excerpt"
    ? byId("excerpt", HTMLScriptElement).text
    : longText ?? field.value;
  if (text === "") throw new Error("Cannot train: there is no text yet");
  return text.replaceAll("\r\n", "\n");
}

/**
 * Takes a file as the reader's own text.
 *
 * @throws {Error} if its bytes are no UTF-8
 */
export async function readOwn(file: File): Promise<void> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true })
      .decode(await file.arrayBuffer());
  } catch {
    throw new Error(`Cannot read ${file.name}: it is not a text in UTF-8`);
  }
  const isLong = text.length > MOST_SHOWN;
  const size = `${file.name}: ${text.length.toLocaleString("en")} characters`;
  field.value = isLong ? "" : text;
  longText = isLong ? text : undefined;
  if (isLong) field.placeholder = `${size}, too many to show`;
  say(`Read ${size}.`);
}

async function loadWhole(): Promise<string> {
  const response = await fetch("text.txt");
  if (response.ok) return await response.text();
  throw new Error(`Cannot load the text: status ${response.status}`);
}

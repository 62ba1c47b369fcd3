/// <reference lib="dom" />

/** The texts that the page offers. */

import { byId } from "./elements.ts";

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
    : byId("ownText", HTMLTextAreaElement).value;
  if (text === "") throw new Error("Cannot train: there is no text yet");
  return text.replaceAll("\r\n", "\n");
}

async function loadWhole(): Promise<string> {
  const response = await fetch("text.txt");
  if (response.ok) return await response.text();
  throw new Error(`Cannot load the text: status ${response.status}`);
}

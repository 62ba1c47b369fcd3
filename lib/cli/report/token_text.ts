/** Visible labels for tokens: each is distinct, spaces and line ends too. */

import type { Tokenizer } from "../../text/tokenizer.ts";
import { visible } from "../terminal/terminal.ts";

const pictures: Readonly<Record<string, string>> = {
  "\n": "⏎",
  "\t": "⇥",
  " ": "␣",
};

/** Returns a token's label: a character, or two hexadecimal digits for a byte that is none. */
export function tokenLabel(tokenizer: Tokenizer, id: number): string {
  if (tokenizer.kind === "bytes" && id >= 0x80) {
    return id.toString(16).toUpperCase();
  }
  const text = tokenizer.decode([id]);
  return pictures[text] ?? visible(text);
}

/** Returns true if a token ends a line. */
export function isLineEnd(tokenizer: Tokenizer, id: number): boolean {
  return tokenizer.decode([id]) === "\n";
}

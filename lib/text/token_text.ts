/** The text of a single token, for people to read. */

import { specialName } from "./special.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Returns the text of a token: of a special token its name, and of bytes that are a part of a character `\x` and two
 * hexadecimal digits each. White space is unchanged.
 *
 * @throws {RangeError} if the id is not in the vocabulary
 */
export function tokenText(tokenizer: Tokenizer, id: number): string {
  const name = specialName(tokenizer, id);
  if (name !== undefined) return name;
  const bytes = tokenizer.bytesOf(id);
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at]!;
    const length = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    const character = textOf(bytes.subarray(at, at + length));
    text += character ?? `\\x${byte.toString(16).toUpperCase()}`;
    at += character === undefined ? 1 : length;
  }
  return text;
}

/** Returns the text of bytes; undefined if they are not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const options = { fatal: true, ignoreBOM: true };
    return new TextDecoder("utf-8", options).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return undefined;
  }
}

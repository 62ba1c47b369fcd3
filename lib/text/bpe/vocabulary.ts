/**
 * A byte-level BPE vocabulary as plain data: its tokens, its merges, its special tokens; and the JSON
 * form in which a checkpoint stores it. Bytes are held as strings of characters U+0000 to U+00FF.
 */

import { END_OF_TEXT } from "../special.ts";
import { unreadable } from "../token_streams.ts";
import { type SplitName, splitPatterns } from "./split.ts";

/** A byte-level BPE vocabulary. */
export interface BpeVocabulary {
  /** Name of the pre-tokenizer. */
  readonly split: SplitName;
  /** Bytes of each token by its id, each in U+0000 to U+00FF; of a special token, the UTF-8 of its name. */
  readonly tokens: readonly string[];
  /**
   * Ids of the pairs that are merged, left and right in turn, the first merge first. If left out, any two
   * tokens that make a third are merged, the smallest id first, as in tiktoken.
   */
  readonly merges?: readonly number[] | undefined;
  /** True if a piece that is a token as a whole is never built from merges, as in Llama 3. */
  readonly wholePieces?: boolean | undefined;
  /** Ids of special tokens, which no text is encoded to. */
  readonly special: readonly number[];
}

/** The plain-data form of `bpe`, as a checkpoint stores it. */
export interface BpeJSON extends BpeVocabulary {
  /** Kind of tokenizer. */
  readonly kind: "bpe";
  /** Tokens by id: one printable character per byte, as in GPT-2's files; of a special token, its name. */
  readonly tokens: readonly string[];
}

/**
 * Most bytes of a token. The longest of the published vocabularies has 128. Without a limit, the ways to cut a
 * token in two would take memory beyond the file's size.
 */
const MOST_TOKEN_BYTES = 1024;

/** GPT-2's printable characters of the bytes: those of Latin-1 that are seen stay, the others follow from U+0100. */
export const byteChars: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isSeen = (byte > 0x20 && byte < 0x7f) ||
      (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(isSeen ? byte : next++);
  });
})();
const bytesOfChars = new Map(
  byteChars.map((char, byte) => [char, String.fromCharCode(byte)]),
);

/** Returns the bytes that printable characters stand for; undefined if one stands for none. */
export function bytesOfPrintable(text: string): string | undefined {
  let bytes = "";
  for (const char of text) {
    const byte = bytesOfChars.get(char);
    if (byte === undefined) return undefined;
    bytes += byte;
  }
  return bytes;
}

/** Returns a printable character for each byte. */
export function printable(bytes: string): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += byteChars[bytes.charCodeAt(i)];
  return text;
}

/** Returns the bytes of a string of characters U+0000 to U+00FF. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Returns the UTF-8 of a text as a string of characters U+0000 to U+00FF. */
export function utf8String(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text;
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) {
    bytes += String.fromCharCode(byte);
  }
  return bytes;
}

/** Returns a vocabulary with `<|endoftext|>` as its last token. */
export function withEnd(vocabulary: BpeVocabulary): BpeVocabulary {
  const { tokens, special } = vocabulary;
  return {
    ...vocabulary,
    tokens: [...tokens, utf8String(END_OF_TEXT)],
    special: [...special, tokens.length],
  };
}

/** Returns the plain data that {@linkcode vocabularyOf} reads. */
export function describeVocabulary(
  { split, tokens, merges, wholePieces, special }: BpeVocabulary,
): BpeJSON {
  const isSpecial = new Set(special);
  return {
    kind: "bpe",
    split,
    tokens: tokens.map((token, id) =>
      isSpecial.has(id)
        ? new TextDecoder().decode(bytesOf(token))
        : printable(token)
    ),
    ...(merges && { merges }),
    ...(wholePieces && { wholePieces }),
    special,
  };
}

/**
 * Returns the vocabulary that {@linkcode describeVocabulary} described, unchecked but for its types.
 *
 * @throws {SyntaxError} if a field has another type
 */
export function vocabularyOf(json: Record<string, unknown>): BpeVocabulary {
  const { split, tokens, merges, wholePieces = false, special = [] } = json;
  if (typeof split !== "string" || !Object.hasOwn(splitPatterns, split)) {
    const names = Object.keys(splitPatterns).join(" or ");
    throw unreadable(`split is ${JSON.stringify(split)}, not ${names}`);
  }
  if (!Array.isArray(tokens)) throw unreadable("tokens is not an array");
  if (!isIds(special)) throw unreadable("special is not an array of ids");
  if (merges !== undefined && !isIds(merges)) {
    throw unreadable("merges is not an array of ids");
  }
  if (typeof wholePieces !== "boolean") {
    throw unreadable("wholePieces is neither true nor false");
  }
  const isSpecial = new Set(special);
  const bytes = tokens.map((token: unknown, id) => {
    const found = typeof token !== "string"
      ? undefined
      : isSpecial.has(id)
      ? utf8String(token)
      : bytesOfPrintable(token);
    if (found !== undefined) return found;
    throw unreadable(`token ${id} is not made of the characters of bytes`);
  });
  return {
    split: split as SplitName,
    tokens: bytes,
    merges,
    wholePieces,
    special,
  };
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(Number.isInteger);
}

/**
 * Returns the id of each token that is not special.
 *
 * @throws {SyntaxError} if a token is empty, too long or there twice, if a byte has no token, or a special id is none
 */
export function checkedIds(
  { tokens, special }: BpeVocabulary,
): Map<string, number> {
  const isSpecial = new Set<number>();
  for (const id of special) {
    if (tokens[id] === undefined || isSpecial.has(id)) {
      throw unreadable(
        `special token ${id} is there twice, or not one of ${tokens.length}`,
      );
    }
    isSpecial.add(id);
  }
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (token === "") throw unreadable(`token ${id} is empty`);
    if (token.length > MOST_TOKEN_BYTES) {
      throw unreadable(
        `token ${id} has ${token.length} bytes, more than ${MOST_TOKEN_BYTES}`,
      );
    }
    if (isSpecial.has(id)) return;
    const other = ids.get(token);
    if (other !== undefined) {
      throw unreadable(`tokens ${other} and ${id} are the same`);
    }
    ids.set(token, id);
  });
  for (let byte = 0; byte < 256; byte++) {
    if (!ids.has(String.fromCharCode(byte))) {
      const name = byte.toString(16).toUpperCase().padStart(2, "0");
      throw unreadable(`the byte 0x${name} is no token`);
    }
  }
  return ids;
}

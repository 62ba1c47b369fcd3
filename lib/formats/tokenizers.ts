/**
 * Byte pair vocabularies of other programs, read from the text of a file: Hugging Face's `tokenizer.json`,
 * tiktoken's ranks, and GPT-2's list of merges. What a file asks for and this program does not do is refused by name.
 */

import { type SplitName, splitPatterns } from "../text/bpe/split.ts";
import {
  type BpeVocabulary,
  byteChars,
  bytesOfPrintable,
  utf8String,
  withEnd,
} from "../text/bpe/vocabulary.ts";
import { END_OF_TEXT } from "../text/special.ts";
import { unreadable } from "../text/token_streams.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { clip } from "./safetensors_header.ts";

/** The pre-tokenizer of a vocabulary of characters: each is a piece of its own. */
export const characterPattern = "[\\s\\S]";

/** Options of {@linkcode readTokenizer}. */
export interface ReadTokenizerOptions {
  /** Pre-tokenizer of a file of ranks. By default it follows from the number of ranks: those of GPT-2, cl100k and Llama 3 are known. */
  readonly split?: SplitName | undefined;
}

/** Pre-tokenizers of the published files of ranks, by the number of ranks: GPT-2, cl100k, Llama 3. */
const splitsOfRanks: ReadonlyMap<number, SplitName> = new Map([
  [50_256, "gpt2"],
  [100_256, "cl100k"],
  [128_000, "cl100k"],
]);

/**
 * Reads a tokenizer. Three formats are known by their beginning:
 *
 * - `{`: Hugging Face's `tokenizer.json` of byte-level BPE, with GPT-2's or Llama 3's pre-tokenizer and no normalizer, or
 *   of characters as {@linkcode tokenizerJson} writes it. Its post-processor, which puts tokens around a text, is left out.
 * - `#version:`: GPT-2's list of merges (`vocab.bpe`, `merges.txt`), with `<|endoftext|>` as its last token.
 * - anything else: tiktoken's ranks, a line `BASE64 RANK` for each token. They name no special tokens.
 *
 * @param text text of the file
 * @throws {SyntaxError} if it is none of them, is damaged, or asks for more than this program does
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readTokenizer } from "@lm/core/formats";
 *
 * const tokenizer = readTokenizer("#version: 0.2\nt h\nth e\n");
 * assertEquals(tokenizer.vocabSize, 256 + 2 + 1);
 * assertEquals(tokenizer.encode("the"), Int32Array.of(257));
 * ```
 */
export function readTokenizer(
  text: string,
  options: ReadTokenizerOptions = {},
): Tokenizer {
  if (text.startsWith("{")) return ofHuggingFace(text);
  return Tokenizer.fromVocabulary(
    text.startsWith("#version:") ? ofMerges(text) : ofRanks(text, options),
  );
}

/** Reads GPT-2's list of merges. The ids of the bytes follow GPT-2's printable characters. */
function ofMerges(text: string): BpeVocabulary {
  const [, ...lines] = linesOf(text);
  const printable = [...byteChars].sort();
  const tokens = printable.map((char) => bytesOfPrintable(char)!);
  const ids = new Map(printable.map((char, id) => [char, id]));
  const merges: number[] = [];
  lines.forEach((line, i) => {
    const [left, right] = pairOf(line, ids, `line ${i + 2}`);
    merges.push(left, right);
    const merged = line.replace(" ", "");
    if (ids.has(merged)) {
      throw unreadable(`line ${i + 2} makes a token that is there already`);
    }
    ids.set(merged, tokens.length);
    tokens.push(bytesOfPrintable(merged)!);
  });
  return withEnd({ split: "gpt2", tokens, merges, special: [] });
}

/** Returns the ids of the two tokens of a merge, written with a space between them. */
function pairOf(
  merge: unknown,
  ids: ReadonlyMap<string, number>,
  where: string,
): [number, number] {
  const parts: unknown[] = typeof merge === "string"
    ? merge.split(" ")
    : Array.isArray(merge)
    ? merge
    : [];
  const [left, right] = parts.map((part) => ids.get(part as string));
  if (parts.length !== 2 || left === undefined || right === undefined) {
    throw unreadable(
      `${where} is not two tokens that are known by then: ${shown(merge)}`,
    );
  }
  return [left, right];
}

/** Reads tiktoken's ranks. */
function ofRanks(
  text: string,
  { split }: ReadTokenizerOptions,
): BpeVocabulary {
  const lines = linesOf(text);
  const tokens = inOrder(
    lines.map((line, i) => {
      const [, base64 = "", rank = ""] =
        /^((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)) (\d{1,9})$/
          .exec(line) ?? [];
      if (rank !== "") return [atob(base64), Number(rank)];
      throw unreadable(`line ${i + 1} is not BASE64 RANK: ${shown(line)}`);
    }),
  );
  const name = split ?? splitsOfRanks.get(tokens.length);
  if (name === undefined) {
    const known = [...splitsOfRanks.keys()].join(", ");
    throw unreadable(
      `it has ${tokens.length} ranks; the pre-tokenizer is known for ${known}`,
    );
  }
  return { split: name, tokens, special: [] };
}

/** Returns tokens in the order of their ids, which are all numbers from 0 on. */
function inOrder(entries: readonly (readonly [string, number])[]): string[] {
  const tokens = new Array<string>(entries.length);
  for (const [token, id] of entries) {
    if (!Number.isInteger(id) || id < 0 || id >= entries.length) {
      throw unreadable(
        `${entries.length} tokens have ids from 0 on without a gap, and one is ${
          shown(id)
        }`,
      );
    }
    if (tokens[id] !== undefined) throw unreadable(`id ${id} is there twice`);
    tokens[id] = token;
  }
  return tokens;
}

/** Reads Hugging Face's `tokenizer.json`. */
function ofHuggingFace(text: string): Tokenizer {
  let file: Fields;
  try {
    file = fields(JSON.parse(text), "the file");
  } catch (error) {
    if (!(error instanceof SyntaxError) || "reason" in error) throw error;
    throw unreadable(`it is not JSON: ${error.message}`);
  }
  const model = fields(file["model"], "model");
  refuseOthers("model", model, { type: ["BPE", "WordLevel", undefined] });
  // Nearly all text is composed, as NFC leaves it.
  if (Object(file["normalizer"])["type"] !== "NFC") {
    refuseOthers("", file, { normalizer: [null, undefined] });
  }
  if (model["type"] === "WordLevel") return ofCharacters(file, model);
  const vocabulary = ofBytePairs(file, model);
  const { tokens, merges = [], special, split } = vocabulary;
  const isBytes = split === "gpt2" && merges.length === 0 &&
    tokens.length - special.length === 256 &&
    tokens.every((token, id) =>
      token === (id < 256 ? String.fromCharCode(id) : END_OF_TEXT)
    );
  return isBytes
    ? Tokenizer.bytes({ endOfText: special.length > 0 })
    : Tokenizer.fromVocabulary(vocabulary);
}

/**
 * Reads a vocabulary of words that are characters, each a piece of its own, as `tokenizerJson` writes it. Text with
 * an unknown character is refused and not given the unknown token.
 */
function ofCharacters(file: Fields, model: Fields): Tokenizer {
  const where = "pre_tokenizer";
  const split = fields(file[where], where);
  refuseOthers(where, split, {
    type: ["Split"],
    behavior: ["Isolated"],
    invert: [false, undefined],
  });
  const pattern = fields(split["pattern"], `${where}.pattern`);
  refuseOthers(`${where}.pattern`, pattern, { Regex: [characterPattern] });
  const vocab = fields(model["vocab"], "model.vocab");
  const chars = inOrder(Object.entries(vocab) as [string, number][]);
  const [end, ...others] = addedTokens(file["added_tokens"] ?? []);
  const isLast = end?.[0] === END_OF_TEXT && end[1] === chars.length;
  if (others.length > 0 || (end !== undefined && !isLast)) {
    throw unreadable(
      `a vocabulary of characters has other added tokens than ${END_OF_TEXT} as its last`,
    );
  }
  const options = { endOfText: isLast };
  const other = chars.find((char) => [...char].length !== 1);
  if (other !== undefined) {
    throw unreadable(
      `${shown(other)} is not a character, in a vocabulary of characters`,
    );
  }
  const isAscii = chars.length === 128 &&
    chars.every((char, code) => char.charCodeAt(0) === code);
  return isAscii
    ? Tokenizer.ascii(options)
    : Tokenizer.fromJSON({ kind: "chars", chars: chars.join(""), ...options });
}

/** Reads byte-level BPE. */
function ofBytePairs(file: Fields, model: Fields): BpeVocabulary {
  refuseOthers("model", model, {
    dropout: [null, undefined],
    continuing_subword_prefix: [null, "", undefined],
    end_of_word_suffix: [null, "", undefined],
    byte_fallback: [false, undefined],
    ignore_merges: [true, false, undefined],
  });
  const vocab = Object.entries(fields(model["vocab"], "model.vocab")) as [
    string,
    number,
  ][];
  const added = addedTokens(file["added_tokens"] ?? []);
  const ids = new Map(vocab.filter(([token]) => !added.has(token)));
  const names = inOrder([...ids, ...added]);
  for (const [token, id] of vocab) {
    if (names[id] !== token) {
      throw unreadable(`${shown(token)} has two ids, ${shown(id)} is one`);
    }
  }
  const { merges } = model;
  if (!Array.isArray(merges)) throw unreadable("model.merges is not an array");
  return byteLevelVocabulary(names, merges, {
    split: splitOf(file["pre_tokenizer"]),
    wholePieces: model["ignore_merges"] === true,
    special: [...added.values()],
  });
}

/**
 * Returns the vocabulary of tokens that are written in the printable characters of bytes, but for special ones.
 *
 * @param merges pairs of tokens, or texts of two with a space between them
 * @throws {SyntaxError} if a token or a merge is not of that kind
 */
export function byteLevelVocabulary(
  names: readonly string[],
  merges: readonly unknown[],
  rest: Pick<BpeVocabulary, "split" | "wholePieces" | "special">,
): BpeVocabulary {
  const isSpecial = new Set(rest.special);
  const ids = new Map<string, number>();
  const tokens = names.map((name, id) => {
    if (isSpecial.has(id)) return utf8String(name);
    ids.set(name, id);
    const bytes = bytesOfPrintable(name);
    if (bytes !== undefined) return bytes;
    throw unreadable(
      `${
        shown(name)
      } is not written in the characters of bytes: the vocabulary is not byte-level`,
    );
  });
  return {
    ...rest,
    tokens,
    merges: merges.flatMap((merge, i) => pairOf(merge, ids, `merge ${i}`)),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown, name: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Fields;
  }
  throw unreadable(`${name} is not an object`);
}

/** Refuses fields with other values than those that this program follows. */
function refuseOthers(
  where: string,
  object: Fields,
  known: Readonly<Record<string, readonly unknown[]>>,
): void {
  for (const [name, values] of Object.entries(known)) {
    if (values.includes(object[name])) continue;
    const path = where === "" ? name : `${where}.${name}`;
    throw unreadable(
      `${path} is ${shown(object[name])}, and this program knows only ${
        values.filter((value) => value !== undefined).map(shown).join(" or ")
      }`,
    );
  }
}

/** Reads the tokens that are no part of the merges. */
function addedTokens(list: unknown): Map<string, number> {
  if (!Array.isArray(list)) throw unreadable("added_tokens is not an array");
  const added = new Map<string, number>();
  for (const entry of list) {
    const { content, id } = fields(entry, "an added token");
    if (typeof content !== "string" || added.has(content)) {
      throw unreadable(`the added token ${shown(content)} is there twice`);
    }
    added.set(content, id as number);
  }
  return added;
}

/** Returns the name of a pre-tokenizer of `tokenizer.json`. */
function splitOf(value: unknown): SplitName {
  const object = fields(value, "pre_tokenizer");
  const steps = object["type"] === "Sequence"
    ? object["pretokenizers"]
    : [object];
  const [first, ...more] = Array.isArray(steps)
    ? steps.map((step) => fields(step, "a pre-tokenizer"))
    : [];
  const last = more.length === 0 ? first : more[0];
  if (first !== undefined && last !== undefined && more.length <= 1) {
    const where = "pre_tokenizer";
    const isDigits = more.length > 0 && first["type"] === "Digits";
    refuseOthers(where, last, {
      type: ["ByteLevel"],
      add_prefix_space: [false],
      use_regex: more.length === 0 || isDigits ? [true, undefined] : [false],
    });
    if (more.length === 0) return "gpt2";
    if (isDigits) {
      refuseOthers(where, first, { individual_digits: [true] });
      return "smollm";
    }
    refuseOthers(where, first, {
      type: ["Split"],
      behavior: ["Isolated"],
      invert: [false, undefined],
    });
    const { Regex } = fields(first["pattern"], "pre_tokenizer.pattern");
    const names = Object.keys(splitPatterns) as SplitName[];
    const name = names.find((name) => splitPatterns[name] === Regex);
    if (name !== undefined) return name;
  }
  throw unreadable(
    `its pre-tokenizer is none that this program knows: ${shown(value)}`,
  );
}

/** Returns the lines of a text; a line end at its end begins none. */
function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** Returns a value of the file for a message. */
function shown(value: unknown): string {
  return clip(
    typeof value === "object" && value !== null
      ? "an object"
      : String(JSON.stringify(value)),
  );
}

/**
 * Tokenizers in GGUF files: byte-level byte pair encoding, the model `gpt2` of llama.cpp. Characters are byte pair encoding
 * too, with the merges that make a character of its bytes.
 */

import { mergesOf } from "./tokenizer_json.ts";
import { isRefusal } from "../refusal.ts";
import type { SplitName } from "../text/bpe/split.ts";
import { byteChars } from "../text/bpe/vocabulary.ts";
import { END_OF_TEXT, endOfText } from "../text/special.ts";
import { Tokenizer, type TokenizerJSON } from "../text/tokenizer.ts";
import type { GgufValue } from "./gguf_file.ts";
import type { GgufRead } from "./gguf_reader.ts";
import { cannotImport } from "./imported.ts";
import { quote } from "./safetensors_header.ts";
import { byteLevelVocabulary } from "./tokenizers.ts";

/** Kinds of tokens of llama.cpp. Tokens of the last three kinds are no result of merges. */
const [NORMAL, CONTROL, USER_DEFINED, UNUSED] = [1, 3, 4, 5];

/** A pre-tokenizer, and whether it takes pieces that are tokens whole. */
type PreTokenizer = readonly [split: SplitName, wholePieces: boolean];

/**
 * llama.cpp's names of pre-tokenizers (`llama-vocab.cpp`). The first name of a pre-tokenizer is the one that is written;
 * cl100k's is Llama 3's, with and without whole pieces.
 */
export const preTokenizers: Readonly<Record<string, PreTokenizer>> = {
  "gpt-2": ["gpt2", false],
  "phi-2": ["gpt2", false],
  "olmo": ["gpt2", false],
  "llama-bpe": ["cl100k", true],
  "llama3": ["cl100k", true],
  "llama-v3": ["cl100k", true],
  "falcon3": ["cl100k", true],
  "dbrx": ["cl100k", false],
  "smaug-bpe": ["cl100k", false],
  "qwen2": ["qwen2", false],
  "deepseek-r1-qwen": ["qwen2", false],
  "stablelm2": ["qwen2", false],
  "smollm": ["smollm", false],
  "starcoder": ["smollm", false],
  "refact": ["smollm", false],
};

/**
 * Returns the id that can end a text: the tokenizer's own, or a token that no text has, the byte 0xFF or the character NUL
 * of ASCII; undefined if the tokenizer has no such token. llama.cpp ends texts at id 11 if a file names no other.
 */
export function endOf(tokenizer: Tokenizer): number | undefined {
  const end = endOfText(tokenizer);
  if (end !== undefined) return end;
  const { kind, vocabSize } = tokenizer;
  const unused = kind === "chars" ? undefined : kind === "ascii" ? 0 : 0xff;
  for (let id = 0; id < vocabSize && unused !== undefined; id++) {
    const bytes = tokenizer.bytesOf(id);
    if (bytes.length === 1 && bytes[0] === unused) return id;
  }
  return undefined;
}

/**
 * Returns the values of a GGUF file that describe a tokenizer.
 *
 * @param end id at which a text ends; the vocabulary's size to add a token `<|endoftext|>`
 */
export function ggufTokenizer(
  tokenizer: Tokenizer,
  end: number,
): Map<string, GgufValue> {
  const json = tokenizer.toJSON();
  const names = new Map(
    [...tokenizer.specialTokens].map(([name, id]) => [id, name]),
  );
  if (end === tokenizer.vocabSize) names.set(end, END_OF_TEXT);
  const tokens = Array.from(
    { length: Math.max(tokenizer.vocabSize, end + 1) },
    (_, id) => names.get(id) ?? printable(tokenizer.bytesOf(id)),
  );
  const merges = json.kind === "bpe"
    ? mergesOf(json)
    : characterMerges(tokens.filter((_, id) => !names.has(id)));
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", preTokenizer(json)],
    ["tokenizer.ggml.tokens", tokens],
    [
      "tokenizer.ggml.token_type",
      Int32Array.from(tokens, (_, id) => names.has(id) ? CONTROL : NORMAL),
    ],
    ["tokenizer.ggml.merges", merges.map((pair) => pair.join(" "))],
    ["tokenizer.ggml.bos_token_id", end],
    ["tokenizer.ggml.eos_token_id", end],
    ["tokenizer.ggml.add_bos_token", false],
    ["tokenizer.ggml.add_eos_token", false],
  ]);
}

/** Returns GPT-2's printable character of each byte. */
function printable(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byteChars[byte]).join("");
}

/** Returns the pairs that make each character of its bytes, the first bytes first; each pair once. */
function characterMerges(characters: readonly string[]): [string, string][] {
  const merges = new Map<string, [string, string]>();
  for (const bytes of characters) {
    for (let i = 1; i < bytes.length; i++) {
      merges.set(bytes.slice(0, i + 1), [bytes.slice(0, i), bytes[i]!]);
    }
  }
  return [...merges.values()];
}

/** Returns llama.cpp's name of a pre-tokenizer. Where cuts make no difference, it is one that leaves white space in a text alone: others drop the space of " 's". */
function preTokenizer(json: TokenizerJSON): string {
  if (json.kind !== "bpe") return "qwen2";
  const { split, merges, wholePieces = false } = json;
  const isWhole = split === "cl100k" && (wholePieces || merges === undefined);
  return Object.keys(preTokenizers).find((name) => {
    const [ownSplit, takesWhole] = preTokenizers[name]!;
    return ownSplit === split && takesWhole === isWhole;
  })!;
}

/** Models of tokenizers of llama.cpp that this program does not have, with the reason. */
const otherModels: Readonly<Record<string, string>> = {
  llama: "SentencePiece, which chooses pieces by their scores",
  t5: "SentencePiece's unigrams, which have probabilities",
  bert: "WordPiece, which looks for the longest piece",
  rwkv: "RWKV's, which looks for the longest piece",
};

/**
 * Reads the tokenizer of a GGUF file; undefined if the file has none.
 *
 * @throws {SyntaxError} if it is not byte-level byte pair encoding, or contradicts itself
 */
export function readGgufTokenizer(
  values: ReadonlyMap<string, GgufRead>,
): Tokenizer | undefined {
  const value = (name: string) => values.get(`tokenizer.ggml.${name}`);
  const model = value("model") ?? "none";
  if (model === "none" || model === "no_vocab") return undefined;
  if (model !== "gpt2") {
    const name = quote(String(model));
    const other = otherModels[String(model)] ?? "unknown";
    throw cannotImport(
      `its tokenizer ${name} is ${other}; this program has byte-level byte pairs (gpt2) only`,
      { hint: "--tokenizer FILE names another tokenizer with the same ids" },
    );
  }
  const pre = value("pre");
  const known = typeof pre === "string" && Object.hasOwn(preTokenizers, pre)
    ? preTokenizers[pre]
    : undefined;
  if (known === undefined) {
    const names = Object.keys(preTokenizers).join(", ");
    throw cannotImport(
      `its pre-tokenizer (tokenizer.ggml.pre) is ${
        pre === undefined ? "not named" : quote(String(pre))
      }, and this program knows ${names}`,
    );
  }
  const [split, wholePieces] = known;
  const names = listOf(value("tokens"), "tokens", "string");
  const kinds = value("token_type") === undefined
    ? names.map(() => NORMAL)
    : listOf(value("token_type"), "token_type", "number");
  if (kinds.length !== names.length) {
    throw cannotImport(
      `it has ${names.length} tokens and the kinds of ${kinds.length}`,
    );
  }
  const special = [...kinds.keys()]
    .filter((id) => [CONTROL, USER_DEFINED, UNUSED].includes(kinds[id]!));
  const merges = listOf(value("merges"), "merges", "string");
  try {
    return Tokenizer.fromVocabulary(
      byteLevelVocabulary(names, merges, { split, wholePieces, special }),
    );
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw cannotImport(`its tokenizer is unusable: ${error.reason}`);
  }
}

/** Returns a value that is a list. */
function listOf<Type extends "string" | "number">(
  value: GgufRead | undefined,
  name: string,
  type: Type,
): readonly (Type extends "string" ? string : number)[] {
  if (Array.isArray(value) && value.every((entry) => typeof entry === type)) {
    return value;
  }
  throw cannotImport(`tokenizer.ggml.${name} is not a list of ${type}s`);
}

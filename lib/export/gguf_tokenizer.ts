/**
 * Tokenizers in GGUF files: byte-level byte pair encoding, the model `gpt2` of llama.cpp. Characters are byte pair encoding
 * too, with the merges that make a character of its bytes.
 */

import { mergesOf } from "../formats/tokenizer_json.ts";
import { byteChars } from "../text/bpe/vocabulary.ts";
import { END_OF_TEXT, endOfText } from "../text/special.ts";
import type { Tokenizer, TokenizerJSON } from "../text/tokenizer.ts";
import type { GgufValue } from "./gguf_file.ts";

/** Kinds of tokens of llama.cpp. */
const NORMAL = 1;
const CONTROL = 3;

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

/**
 * Returns llama.cpp's name of a pre-tokenizer. Two cut as cl100k does; one of them takes pieces that are tokens whole. Where
 * cuts make no difference, it is one that leaves white space in a text alone: others drop the space of " 's".
 */
function preTokenizer(json: TokenizerJSON): string {
  if (json.kind !== "bpe") return "qwen2";
  const { split, merges, wholePieces = false } = json;
  const isWhole = wholePieces || merges === undefined;
  const cl100k = isWhole ? "llama-bpe" : "dbrx";
  return { gpt2: "gpt-2", cl100k, qwen2: "qwen2", smollm: "smollm" }[split];
}

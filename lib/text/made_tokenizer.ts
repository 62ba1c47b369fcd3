/** Tokenizers that are made for a text, by the words that name them in a plan and after `--tokenizer`. */

import { type SplitName, splitPatterns } from "./bpe/split.ts";
import { checkTrainedSize } from "./bpe/trainer.ts";
import type { TokenizerKind } from "./tokenizer.ts";
import { isRefusal, refusal } from "../refusal.ts";

/** Name of byte pair encoding that is trained on the text: `bpe:N`, or with a pre-tokenizer `bpe:N:SPLIT`. */
export type BpeName = `bpe:${string}`;

/** A tokenizer that is made for a text: a kind, trained byte pair encoding, or the characters of the text and of an alphabet. */
export type MadeTokenizer =
  | TokenizerKind
  | BpeName
  | { readonly alphabet: string };

/** Pre-tokenizers by the names that are written: Llama 3's is that of cl100k. */
const splits: Readonly<Record<string, SplitName>> = {
  ...Object.fromEntries(
    (Object.keys(splitPatterns) as SplitName[]).map((name) => [name, name]),
  ),
  llama3: "cl100k",
};

/** Returns whether a word names byte pair encoding. */
export function isBpe(word: unknown): word is BpeName {
  return typeof word === "string" && word.startsWith("bpe:");
}

/**
 * Returns the size and the pre-tokenizer that a name asks for; GPT-2's pre-tokenizer by default.
 *
 * @throws {RangeError} if the name is not `bpe:N` or `bpe:N:SPLIT`
 */
export function bpeOptions(
  name: BpeName,
): { readonly vocabSize: number; readonly split: SplitName } {
  const [, size = "", split = "gpt2"] = /^bpe:(\d+)(?::(.*))?$/.exec(name) ??
    [];
  const known = Object.keys(splits).join(", ");
  try {
    checkTrainedSize(size === "" ? NaN : Number(size));
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw refusal(
      RangeError,
      "train Tokenizer",
      `${JSON.stringify(name)} is not bpe: and a number from 256 to 65536`,
      { hint: "bpe:1024 trains a vocabulary of 1024 tokens on the text" },
    );
  }
  if (!Object.hasOwn(splits, split)) {
    throw refusal(
      RangeError,
      "train Tokenizer",
      `the pre-tokenizer ${JSON.stringify(split)} is none of ${known}`,
    );
  }
  return { vocabSize: Number(size), split: splits[split]! };
}

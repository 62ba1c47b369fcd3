/** Tokenizers that are made for a text, by the words that name them in a plan and after `--tokenizer`. */

import { type SplitName, splitPatterns } from "./bpe/split.ts";
import { trainedSizes } from "./bpe/trainer.ts";
import type { TokenizerKind } from "./tokenizer.ts";
import { isWithin } from "../range.ts";
import { refusal } from "../refusal.ts";

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

/** Returns what is wrong with a name, as in `is not bpe: and a number`; undefined if nothing is. */
export function bpeMistake(name: BpeName): string | undefined {
  const { size, split } = partsOf(name);
  if (!isWithin(size, trainedSizes)) {
    const { least, most } = trainedSizes;
    return `is not bpe: and a number from ${least} to ${most}`;
  }
  if (Object.hasOwn(splits, split)) return undefined;
  return `has a pre-tokenizer that is none of ${
    Object.keys(splits).join(", ")
  }`;
}

/**
 * Returns the size and the pre-tokenizer that a name asks for; GPT-2's pre-tokenizer by default.
 *
 * @throws {RangeError} if the name is not `bpe:N` or `bpe:N:SPLIT`
 */
export function bpeOptions(
  name: BpeName,
): { readonly vocabSize: number; readonly split: SplitName } {
  const mistake = bpeMistake(name);
  if (mistake !== undefined) {
    throw refusal(RangeError, "train Tokenizer", `${name} ${mistake}`);
  }
  const { size, split } = partsOf(name);
  return { vocabSize: size, split: splits[split]! };
}

function partsOf(name: BpeName): { size: number; split: string } {
  const [, size = "x", split = "gpt2"] = /^bpe:(\d+)(?::(.*))?$/.exec(name) ??
    [];
  return { size: Number(size), split };
}

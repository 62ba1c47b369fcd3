/** Parses `--tokenizer`, and makes or reads the tokenizer that it names. */

import { gpt2Merges } from "../../../data/datasets.ts";
import { loadDataset } from "../../../data/load.ts";
import { readTokenizer } from "../../formats/tokenizers.ts";
import { isRefusal } from "../../refusal.ts";
import {
  bpeMistake,
  type BpeName,
  isBpe,
  type MadeTokenizer,
} from "../../text/made_tokenizer.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { commandError, usageError } from "../command/errors.ts";
import { type Flag, type FlagText, ValueError } from "../command/flag.ts";
import { nearest } from "../command/nearest.ts";
import { writeError } from "../terminal/terminal.ts";
import { charactersOf, readText } from "./text_source.ts";

/** A tokenizer made for the text, GPT-2's, one of a file, or characters of the text and of a file. */
export type TokenizerChoice =
  | MadeTokenizer
  | "gpt2"
  | { readonly file: string }
  | { readonly charsOf: string };

const words = ["ascii", "chars", "bytes", "gpt2"] as const;

/**
 * Returns the tokenizer that a word names without a file.
 *
 * @throws {ValueError} if it names none; `others` lists further choices for the message
 */
export function planTokenizer(
  given: string,
  others = "",
): (typeof words)[number] | BpeName {
  const word = words.find((word) => word === given);
  if (word !== undefined) return word;
  if (isBpe(given)) {
    const mistake = bpeMistake(given);
    if (mistake === undefined) return given;
    const hint =
      "bpe:1024 trains a vocabulary of 1024 tokens on the text, with GPT-2's rules for words; bpe:1024:cl100k with GPT-4's";
    throw new ValueError(mistake, { hint });
  }
  const near = nearest(given, words);
  throw new ValueError(`is none of ${words.join(", ")}, bpe:N${others}`, {
    hint: near && `did you mean ${near}?`,
  });
}

/** Makes `--tokenizer`. A file is named with a dot or a slash in it, so that a word with a mistake is none. */
export function tokenizerFlag(text: FlagText): Flag<TokenizerChoice> {
  return {
    ...text,
    value: "ascii|chars[:FILE]|bytes|bpe:N|gpt2|FILE",
    read: (texts) => {
      const given = texts.at(-1)!;
      const [, charsOf = ""] = /^chars:(.*)$/s.exec(given) ?? [];
      if (charsOf !== "") return { charsOf };
      const isFile = /[./\\]/.test(given) && !isBpe(given);
      if (isFile) return { file: given };
      return planTokenizer(given, ", chars:FILE and a file with its path");
    },
  };
}

/**
 * Returns the tokenizer that `--tokenizer` and `--alphabet` choose; undefined if neither is given.
 *
 * @throws {CommandError} if there is an alphabet, and the tokenizer is not `chars`
 */
export function chosenTokenizer(
  { tokenizer, alphabet }: {
    readonly tokenizer?: TokenizerChoice | undefined;
    readonly alphabet?: string | undefined;
  },
): TokenizerChoice | undefined {
  if (alphabet === undefined) return tokenizer;
  if (tokenizer === undefined || tokenizer === "chars") return { alphabet };
  throw usageError(
    `use --alphabet with --tokenizer ${choiceName(tokenizer)}`,
    "an alphabet is for --tokenizer chars",
  );
}

/** Returns the name of a choice, as it is written after `--tokenizer`. */
export function choiceName(choice: TokenizerChoice): string {
  if (typeof choice === "string") return choice;
  if ("file" in choice) return choice.file;
  return "charsOf" in choice ? `chars:${choice.charsOf}` : "chars";
}

/** Returns the name of a tokenizer: its kind, with the size for `bpe`. */
export function tokenizerName({ kind, vocabSize }: Tokenizer): string {
  return kind === "bpe" ? `${kind}:${vocabSize}` : kind;
}

/** The hint of a file that is no tokenizer. */
const tokenizerFiles =
  "--tokenizer takes Hugging Face's tokenizer.json of byte-level BPE, tiktoken's ranks, or GPT-2's merges";

/** Reads the tokenizer that a choice names; a choice that needs the text stays as it is. */
export async function openTokenizer(
  choice: TokenizerChoice,
  signal: AbortSignal,
): Promise<Tokenizer | MadeTokenizer> {
  if (choice === "gpt2") {
    const { text, source } = await loadDataset(gpt2Merges, { signal });
    if (source === "npm") writeError("downloaded GPT-2's vocabulary\n");
    return readTokenizer(text);
  }
  if (typeof choice === "string" || "alphabet" in choice) return choice;
  if ("charsOf" in choice) {
    return { alphabet: await charactersOf(choice.charsOf, signal) };
  }
  const text = await readText(choice.file, signal, tokenizerFiles);
  try {
    return readTokenizer(text);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw commandError(
      `read the tokenizer ${choice.file}`,
      error.reason,
      tokenizerFiles,
    );
  }
}

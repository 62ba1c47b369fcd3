/** Parses `--tokenizer`, and makes or reads the tokenizer that it names. */

import { gpt2Merges } from "../../../data/datasets.ts";
import { loadDataset } from "../../../data/load.ts";
import { readTokenizer } from "../../formats/tokenizers.ts";
import { isRefusal } from "../../refusal.ts";
import { checkTrainedSize } from "../../text/bpe/trainer.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { commandError } from "../command/errors.ts";
import { type Flag, type FlagText, ValueError } from "../command/flag.ts";
import { nearest } from "../command/nearest.ts";
import { writeError } from "../terminal/terminal.ts";
import type { MadeTokenizer } from "./corpus.ts";
import { readText } from "./text_source.ts";

/** A tokenizer made for the text, GPT-2's, or one of a file. */
export type TokenizerChoice =
  | MadeTokenizer
  | "gpt2"
  | { readonly file: string };

const words = ["ascii", "chars", "bytes", "gpt2"] as const;

/** Makes `--tokenizer`. A file is named with a dot or a slash in it, so that a word with a mistake is none. */
export function tokenizerFlag(text: FlagText): Flag<TokenizerChoice> {
  return {
    ...text,
    value: "ascii|chars|bytes|bpe:N|gpt2|FILE",
    read: (texts) => {
      const given = texts.at(-1)!;
      const word = words.find((word) => word === given);
      if (word !== undefined) return word;
      const [, size] = /^bpe:(.*)$/.exec(given) ?? [];
      if (size !== undefined) return { bpe: sizeOf(size) };
      if (/[./\\]/.test(given)) return { file: given };
      const near = nearest(given, words);
      throw new ValueError(
        `is none of ${words.join(", ")}, bpe:N and a file`,
        {
          hint: near === undefined
            ? "a file is named with its path, as ./tokenizer.json"
            : `did you mean ${near}?`,
        },
      );
    },
  };
}

function sizeOf(text: string): number {
  try {
    const size = /^\d+$/.test(text) ? Number(text) : NaN;
    checkTrainedSize(size);
    return size;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new ValueError("is not bpe: and a number from 256 to 65536", {
      hint: "bpe:1024 trains a vocabulary of 1024 tokens on the text",
    });
  }
}

/** Returns the name of a choice, as it is written after `--tokenizer`. */
export function choiceName(choice: TokenizerChoice): string {
  if (typeof choice === "string") return choice;
  return "bpe" in choice ? `bpe:${choice.bpe}` : choice.file;
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
  if (typeof choice === "string" || "bpe" in choice) return choice;
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

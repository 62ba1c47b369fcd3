/** Tokenizers of sessions. */

import type { Checkpoint } from "../formats/checkpoint.ts";
import { refusal } from "../refusal.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import type { SessionOptions } from "./messages.ts";

/** Returns the tokenizer of a checkpoint. */
export function tokenizerOf({ tokenizer }: Checkpoint): Tokenizer {
  if (tokenizer !== undefined) return tokenizer;
  throw refusal(
    TypeError,
    "open session",
    "the checkpoint was saved without a tokenizer",
  );
}

/** Returns the tokenizer of a new model. */
export function newTokenizer(
  { text, tokenizer = "chars" }: SessionOptions,
): Tokenizer {
  if (text === undefined) {
    throw refusal(
      TypeError,
      "open session",
      "there is neither a text nor a checkpoint",
    );
  }
  return tokenizer === "chars" ? Tokenizer.chars(text) : Tokenizer[tokenizer]();
}

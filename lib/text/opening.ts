/** Beginnings of generated texts: a model needs a token to start from. */

import { endOfText } from "./special.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Returns the default prompt: the empty text if the model learned from documents, otherwise a line end, or the first
 * character of a vocabulary that has no line end.
 *
 * @param options.documents false if the tokenizer has `<|endoftext|>`, and the model never saw it
 */
export function opening(
  tokenizer: Tokenizer,
  { documents = true }: { readonly documents?: boolean } = {},
): string {
  if (documents && endOfText(tokenizer) !== undefined) return "";
  try {
    tokenizer.encode("\n");
    return "\n";
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return tokenizer.decode([0]);
  }
}

/**
 * Returns the ids of a prompt. For an empty prompt it is `<|endoftext|>`, after which a document begins, if the
 * tokenizer has it.
 *
 * @returns shape (N); empty if the prompt is, and the tokenizer has no such token
 * @throws {RangeError} if a character is not in the vocabulary
 */
export function promptIds(tokenizer: Tokenizer, prompt: string): Int32Array {
  const end = endOfText(tokenizer);
  return prompt === "" && end !== undefined
    ? Int32Array.of(end)
    : tokenizer.encode(prompt);
}

/** Types and errors that the readers of other programs' models share. */

import type { ModelConfig } from "../config/model.ts";
import { refuser } from "../refusal.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { ByteSource } from "./safetensors.ts";

/** The files of a folder. */
export interface FolderFiles {
  /**
   * Opens a file of the folder; undefined if there is none.
   *
   * @param name a file name: letters, digits, and `._-`
   */
  open(name: string): Promise<ByteSource | undefined>;
}

/** A model that was read. */
export interface Imported {
  /** The model, and its tokenizer if the folder has one. */
  readonly checkpoint: Checkpoint;
  /** Settings that were left out, in words. */
  readonly notes: readonly string[];
}

/** Makes the error that a model cannot be imported. */
export const cannotImport: ReturnType<typeof refuser<SyntaxError>> = refuser(
  SyntaxError,
  "import model",
);

/**
 * Parses a JSON object.
 *
 * @param name file for the message
 * @throws {SyntaxError} if the text is not a JSON object
 */
export function jsonObject(
  text: string,
  name: string,
): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw cannotImport(`${name} is not JSON`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw cannotImport(`${name} is not a JSON object`);
}

/**
 * Returns a tokenizer with as many tokens as its model. Vocabularies of models are often padded to a round number;
 * the ids that no text has become special tokens.
 *
 * @throws {SyntaxError} if the model has fewer tokens, or the tokenizer's kind has no special ones
 */
export function padded(
  tokenizer: Tokenizer,
  { vocabSize }: Pick<ModelConfig, "vocabSize">,
): Tokenizer {
  const json = tokenizer.toJSON();
  const { vocabSize: known } = tokenizer;
  if (known === vocabSize) return tokenizer;
  if (known > vocabSize || json.kind !== "bpe") {
    throw cannotImport(
      `the tokenizer has ${known} tokens, the model ${vocabSize}`,
    );
  }
  const ids = Array.from({ length: vocabSize - known }, (_, i) => known + i);
  return Tokenizer.fromJSON({
    ...json,
    tokens: [...json.tokens, ...ids.map((id) => `<|unused${id}|>`)],
    special: [...json.special, ...ids],
  });
}

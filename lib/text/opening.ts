/** The default prompt: a model needs a token to start from. */

import type { Tokenizer } from "./tokenizer.ts";

/** Returns a line end; for a vocabulary without one, its first character. */
export function opening(tokenizer: Tokenizer): string {
  try {
    tokenizer.encode("\n");
    return "\n";
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return tokenizer.decode([0]);
  }
}

/** What the readers of other programs' models share. */

import { refuser } from "../refusal.ts";

/** Makes the error that a model cannot be imported. */
export const cannotImport: ReturnType<typeof refuser<SyntaxError>> = refuser(
  SyntaxError,
  "import model",
);

/**
 * Parses a JSON object.
 *
 * @param name file for the message
 * @throws {SyntaxError} if the text is none
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

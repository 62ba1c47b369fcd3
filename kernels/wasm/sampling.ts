/** Text: the tokens that are encoded next, and the choice of a token. */

import type { KernelDims } from "../vocabulary.ts";
import { CHOOSE, LAST_TOKENS } from "./codes.ts";
import type { Site, Step } from "./step.ts";

/** See {@linkcode signatures.lastTokens}. */
export function lastTokens(
  { B, T, S }: KernelDims["lastTokens"],
  { outputs, inputs }: Site,
): Step[] {
  const args = [...outputs, ...inputs, T, S];
  return [{ kernel: LAST_TOKENS, units: B, args, work: B * T }];
}

/** See {@linkcode signatures.choose}. */
export function choose(
  { B, T, V, S }: KernelDims["choose"],
  { outputs, inputs, scratch }: Site,
): Step[] {
  scratch(8 * V);
  const args = [...outputs, ...inputs, T, V, S];
  return [{ kernel: CHOOSE, units: B, args, work: B * V * 1000 }];
}

/** Measurements of a model's own text. */

import { fullReach, spread } from "../checks/causality.ts";
import { continuations, teacherForced } from "../checks/leaks.ts";
import type { Model } from "../model/model.ts";
import {
  driftOf,
  scorePredictions,
  scoreTexts,
  spreadWindows,
} from "../text/quality.ts";
import type { Examiner, OwnText } from "./works.ts";
import type { Tokens } from "../text/tokens.ts";

/** The seed of all random choices. */
const SEED = 1;

/** Number of positions at which a token is changed. */
const PLACES = 4;

/** Texts that a model wrote, and their scores. */
export interface WrittenText {
  readonly own: OwnText;
  /** The model's continuation of each of the examiner's prompts. */
  readonly texts: readonly Int32Array[];
}

/** Makes a model continue the examiner's prompts, and measures the texts. */
export async function measureOwnText(
  model: Model,
  { examiner, heldOut, signal }: {
    readonly examiner: Examiner;
    readonly heldOut: Tokens;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<WrittenText> {
  const { prompts, length, scorer } = examiner;
  const T = model.config.blockSize;
  const texts = await continuations(model, prompts, {
    tokens: length,
    seed: SEED,
    signal,
  });
  const windows = spreadWindows(heldOut, {
    count: Math.ceil(prompts.length * length / T),
    length: T,
  });
  const { drawn } = await teacherForced(model, windows, { seed: SEED, signal });
  const { gap } = driftOf({
    own: scoreTexts(scorer, texts),
    predicted: scorePredictions(scorer, windows, drawn),
    heldOut: scoreTexts(scorer, windows),
  });
  return { own: { ...examiner.abilities(texts), gap }, texts };
}

/** Returns true if changed tokens of a text change no bit of the logits before them. */
export async function isCausal(
  model: Model,
  text: Tokens,
): Promise<boolean> {
  const T = Math.min(model.config.blockSize, Math.floor(text.length / 2));
  if (T < 2) return true; // There is nothing before.
  const reaches = await fullReach(model, {
    tokens: Int32Array.from(text.subarray(0, 2 * T)),
    positions: spread(PLACES, T),
  });
  return reaches.every(({ before }) => before === 0);
}

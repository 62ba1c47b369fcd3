/**
 * How far a computed quantity may be from its record.
 *
 * Two float32 programs that do the same differ by rounding and by order of
 * summation. The limits for that are those of tests/golden/README.md: about ten
 * times the noise measured there, and below what the common mistakes change.
 *
 * Two float64 programs differ a billion times less, so what separates the reference
 * backend from a float64 run is how the file keeps it: rounded to float32, or as text.
 */

import type { Tolerance } from "./comparison.ts";
import type { Precision } from "./recording.ts";

/** What can be recorded of a network. */
export type Kind =
  | "logits"
  | "loss"
  | "gradient"
  | "gradientNorms"
  | "losses"
  | "firstStep"
  | "laterStep"
  | "cache"
  | "leak"
  | "rotation"
  | "rotatedScores";

const float32: Readonly<Record<Kind, Tolerance>> = {
  logits: { measure: "relative", limit: 1e-5 },
  loss: { measure: "relative", limit: 1e-6 },
  gradient: { measure: "relative", limit: 3e-5 },
  gradientNorms: { measure: "each", limit: 3e-5 },
  losses: { measure: "absolute", limit: 5e-6 },
  // Where |c · gradient| >= 1e-5, so that AdamW does not magnify its noise.
  firstStep: { measure: "absolute", limit: 3e-6 },
  laterStep: { measure: "mean", limit: 5e-7 },
  // Keys and values are linear in what logits are; the noise is of the same size.
  cache: { measure: "relative", limit: 1e-5 },
  // A leak is the difference of two logits, each with its own noise.
  leak: { measure: "relative", limit: 2e-5 },
  // 8.3e-7 of noise was measured for values up to about 4.
  rotation: { measure: "relative", limit: 2e-6 },
  rotatedScores: { measure: "relative", limit: 1e-5 },
};

/** Scores that are not divided by sqrt(HS) make sharper softmaxes, which magnify noise. */
const sharp: Partial<Record<Kind, Tolerance>> = {
  logits: { measure: "relative", limit: 2e-5 },
  gradient: { measure: "relative", limit: 1e-4 },
  gradientNorms: { measure: "each", limit: 1e-4 },
};

/** Rounding to float32 moves a number by up to 2^-24 = 6e-8 of itself; twice that. */
export const ROUNDED: Tolerance = { measure: "relative", limit: 1.2e-7 };

/** As {@linkcode ROUNDED}, for numbers of different sizes that each matter. */
const ROUNDED_EACH: Tolerance = { measure: "each", limit: 1.2e-7 };

/** Text keeps all digits; this is float64's own noise, magnified by ten steps of AdamW. */
const FLOAT64: Tolerance = { measure: "each", limit: 1e-9 };

/** The tolerances for one device and model. */
export class Tolerances {
  readonly #float64: boolean;
  readonly #sharp: boolean;

  /**
   * @param options.float64 whether the device computes in float64
   * @param options.sharp whether the model's scores are not scaled
   */
  constructor(
    { float64, sharp = false }: { float64: boolean; sharp?: boolean },
  ) {
    this.#float64 = float64;
    this.#sharp = sharp;
  }

  /** The tolerance of a quantity against a record of this precision. */
  of(kind: Kind, precision: Precision): Tolerance {
    if (!this.#float64 || precision === "float32") {
      return this.#sharp ? sharp[kind] ?? float32[kind] : float32[kind];
    }
    if (precision === "float64") return FLOAT64;
    return float32[kind].measure === "each" ? ROUNDED_EACH : ROUNDED;
  }

  /** Whether a record of this precision is free of float32's noise on this device. */
  isExact(precision: Precision): boolean {
    return this.#float64 && precision !== "float32";
  }
}

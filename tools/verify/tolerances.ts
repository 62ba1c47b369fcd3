/**
 * Tolerances of computed quantities against their records.
 *
 * Two float32 programs that do the same differ by rounding and by order of
 * summation. The limits for float32 are about five to ten times the noise in
 * tools/record/README.md, and below what the common mistakes change.
 *
 * Two float64 programs differ a billion times less, so the reference backend
 * differs from a float64 record by how the file stores it: rounded to float32, or in full.
 */

import type { Tolerance } from "./comparison.ts";
import type { Precision } from "./recording.ts";

/** A quantity that can be recorded of a network. */
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
  // Only where |c · gradient| >= 1e-5, so that AdamW does not magnify the gradient's noise.
  firstStep: { measure: "absolute", limit: 3e-6 },
  laterStep: { measure: "mean", limit: 5e-7 },
  // Keys and values are linear in activations, as logits are; the noise is of the same size.
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
const ROUNDED = 1.2e-7;

/** Float64's own noise, magnified by ten steps of AdamW. */
const FLOAT64 = 1e-9;

/** Returns the tolerance between two float64 programs, against a record of this precision. */
export function exactTolerance(precision: Precision): Tolerance {
  const limit = precision === "float64" ? FLOAT64 : ROUNDED;
  return { measure: "relative", limit };
}

/** The tolerances for one device and model. */
export class Tolerances {
  readonly #float64: boolean;
  readonly #sharp: boolean;

  /**
   * @param options.float64 true if the device computes in float64
   * @param options.sharp whether the model's scores are not scaled
   */
  constructor(
    { float64, sharp = false }: { float64: boolean; sharp?: boolean },
  ) {
    this.#float64 = float64;
    this.#sharp = sharp;
  }

  /** Returns the tolerance of a quantity against a record of this precision. */
  of(kind: Kind, precision: Precision): Tolerance {
    if (!this.isExact(precision)) {
      return this.#sharp ? sharp[kind] ?? float32[kind] : float32[kind];
    }
    const exact = exactTolerance(precision);
    const each = float32[kind].measure === "each";
    return each ? { ...exact, measure: "each" } : exact;
  }

  /** Returns true if a record of this precision has none of float32's noise on this device. */
  isExact(precision: Precision): boolean {
    return this.#float64 && precision !== "float32";
  }
}

/** Rotary frequencies, which follow from a configuration. */

import type { ModelConfig } from "./model.ts";

/** Configuration of rotary frequencies. */
type Rotation = Pick<
  ModelConfig,
  "headSize" | "ropeTheta" | "ropeScaling" | "ropeContext"
>;

/** Turns within the old context below which Llama 3 scales a frequency fully, and above which it leaves it alone. */
const [FEWEST_TURNS, MOST_TURNS] = [1, 4];

/**
 * Returns the rotary frequencies (arXiv 2104.09864, section 3.2.2), the angles by which each pair of a head turns from
 * one position to the next: θ^(-2i/HS) for pair i.
 *
 * With a scaling factor s, as in Llama 3 (`rope_type` "llama3"): a pair that turns less than once within `ropeContext`
 * positions has the frequency divided by s, one that turns more than four times keeps it, and between these the result
 * is interpolated linearly in the number of turns.
 *
 * @returns angles in radians, shape (HS/2); HS is even
 */
export function ropeFrequencies(
  { headSize: HS, ropeTheta, ropeScaling, ropeContext }: Rotation,
): Float64Array {
  return Float64Array.from({ length: HS / 2 }, (_, i) => {
    const frequency = ropeTheta ** (-2 * i / HS);
    if (ropeScaling === null) return frequency;
    const turns = ropeContext * frequency / (2 * Math.PI);
    const place = (turns - FEWEST_TURNS) / (MOST_TURNS - FEWEST_TURNS);
    const kept = Math.min(1, Math.max(0, place));
    return frequency * (kept + (1 - kept) / ropeScaling);
  });
}

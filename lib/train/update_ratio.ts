/**
 * Update ratios: the size of an optimizer step relative to the size of each weight
 * matrix, independent of the scale of the gradient.
 */

import type { Numbers } from "../backends/backend.ts";
import type { ParameterLayout } from "../graph/layout.ts";

/**
 * Returns ‖after - before‖₂ / ‖before‖₂ of each matrix (a parameter with two dimensions), in float64. All-zero
 * matrices are left out, since their ratio is infinite.
 *
 * @param options.before the store of parameters before the step, in the order of the layout
 * @param options.after the store of parameters after the step
 */
export function updateRatios(
  { entries }: ParameterLayout,
  { before, after }: { readonly before: Numbers; readonly after: Numbers },
): Record<string, number> {
  const ratios: Record<string, number> = {};
  for (const { name, shape, offset, length } of entries) {
    if (shape.length !== 2) continue;
    let change = 0;
    let size = 0;
    for (let i = offset; i < offset + length; i++) {
      const w = before[i]!;
      const d = after[i]! - w;
      change += d * d;
      size += w * w;
    }
    if (size > 0) ratios[name] = Math.sqrt(change / size);
  }
  return ratios;
}

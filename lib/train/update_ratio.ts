/**
 * How far one optimizer step moves each weight matrix, against how large the matrix
 * is: the step's size as the weights see it, whatever the gradient's.
 */

import type { Numbers } from "../backends/backend.ts";
import type { ParameterLayout } from "../graph/layout.ts";

/**
 * ‖after - before‖₂ / ‖before‖₂ of each matrix (a parameter of two dimensions), in float64. A matrix
 * of zeros, which any step changes infinitely, is left out.
 *
 * @param options.before the store of parameters, in the layout's order
 * @param options.after the same, later
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

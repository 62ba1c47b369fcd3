/**
 * The effect of a causal mask on attention. Its output is a mean over as many values as there are
 * tokens so far, and the variance of a mean of t different numbers falls as 1/t (Chi et al. 2023,
 * arXiv 2305.13571). So each token holds a trace of how many came before it.
 */

import type { Model } from "../../model/model.ts";
import { innerValues } from "./inner_values.ts";
import type { Windows } from "./windows.ts";

/**
 * Returns the variance of the first attention's output between windows, at each position.
 *
 * @returns (T), the variance over windows, mean over channels
 */
export async function attentionSpread(
  model: Model,
  windows: Windows,
  signal?: AbortSignal,
): Promise<number[]> {
  const { T, count: all } = windows;
  const C = model.config.nEmbd;
  const sums = new Float64Array(T * C);
  const squares = new Float64Array(T * C);
  const reading = innerValues(model, windows, { inside: "attention", signal });
  for await (const { count, values } of reading) {
    const y = values.get("attention")!;
    for (let i = 0; i < count * T * C; i++) {
      sums[i % (T * C)]! += y[i]!;
      squares[i % (T * C)]! += y[i]! ** 2;
    }
  }
  return Array.from({ length: T }, (_, t) => {
    let variance = 0;
    for (let i = t * C; i < (t + 1) * C; i++) {
      variance += squares[i]! / all - (sums[i]! / all) ** 2;
    }
    return variance / C;
  });
}

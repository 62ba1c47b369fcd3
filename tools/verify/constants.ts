/** Checks of the constants behind positions: sines, slopes and biases. */

import { alibiSlopes, sinusoidalTable } from "../../lib/model/positions.ts";
import type { Report } from "./comparison.ts";
import type { Recording } from "./recording.ts";
import { exactTolerance } from "./tolerances.ts";

/** Checks `sinusoidal` (L, C), `slopes.nN` (N) and `bias.nN` (N, T, T), ALiBi's for N heads. */
export function checkConstants(recording: Recording, report: Report): void {
  const compare = (
    name: string,
    shape: readonly number[],
    values: ArrayLike<number>,
  ) =>
    recording.compare(report, {
      quantity: name,
      computed: [{ name, shape, values }],
      tolerance: exactTolerance,
    });
  if (recording.has("sinusoidal")) {
    const [rows = 0, C = 0] = recording.shape("sinusoidal");
    compare("sinusoidal", [rows, C], sinusoidalTable(rows, C));
  }
  for (const [name, n] of recording.matching(/^slopes\.n([1-9]\d{0,3})$/)) {
    compare(name, [Number(n)], alibiSlopes(Number(n)));
  }
  for (const [name, n] of recording.matching(/^bias\.n([1-9]\d{0,3})$/)) {
    const [NH, T = 0] = [Number(n), recording.shape(name)[1]];
    compare(name, [NH, T, T], alibiBias(NH, T));
  }
}

/** Returns -slope · (i - j), also for keys in the future, which the mask removes: (NH, T, T). */
function alibiBias(NH: number, T: number): Float64Array {
  const slopes = alibiSlopes(NH);
  return Float64Array.from({ length: NH * T * T }, (_, index) => {
    const [i, j] = [Math.floor(index / T) % T, index % T];
    return -slopes[Math.floor(index / (T * T))]! * (i - j);
  });
}

/** Checks of the constants behind positions that a network's file holds: sines, slopes and biases. */

import { alibiSlopes, sinusoidalTable } from "../../lib/model/positions.ts";
import type { Pair } from "./comparison.ts";
import type { Batches } from "./batches.ts";
import { ROUNDED } from "./tolerances.ts";
import type { Subject } from "./subject.ts";

/** Checks `pe`, `slopes`, `slopes.nN` and `bias`. */
export function checkPositionTables(
  { recording, report, config }: Subject,
  batches: Batches | undefined,
): void {
  const { nEmbd: C, nHead: NH, blockSize } = config;
  const T = batches?.T ?? blockSize;
  const pair = (
    name: string,
    shape: readonly number[],
    computed: ArrayLike<number>,
  ) => ({ name, recorded: recording.floats(name, shape), computed });
  const compare = (name: string, pairs: readonly Pair[]) =>
    report.compare(name, pairs, ROUNDED);
  if (recording.has("pe")) {
    const rows = recording.shape("pe")[0] ?? 0;
    compare("pe", [pair("pe", [rows, C], sinusoidalTable(rows, C))]);
  }
  if (recording.has("slopes")) {
    compare("slopes", [pair("slopes", [NH], alibiSlopes(NH))]);
  }
  const others = recording.matching(/^slopes\.n([1-9]\d{0,3})$/)
    .map(([name, n]) => pair(name, [Number(n)], alibiSlopes(Number(n))));
  compare("slopes of so many heads", others);
  if (recording.has("bias")) {
    compare("bias", [pair("bias", [NH, T, T], alibiBias(T, NH))]);
  }
}

/** -slope · (i - j), also for keys in the future, which the mask removes: (NH, T, T). */
function alibiBias(T: number, NH: number): Float64Array {
  const slopes = alibiSlopes(NH);
  return Float64Array.from({ length: NH * T * T }, (_, index) => {
    const [i, j] = [Math.floor(index / T) % T, index % T];
    return -slopes[Math.floor(index / (T * T))]! * (i - j);
  });
}

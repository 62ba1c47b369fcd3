/** Rotary position embedding. */

import type { KernelDims } from "../vocabulary.ts";
import { ROPE } from "./codes.ts";
import { rowsOfBlock, type Site, type Step } from "./step.ts";

/** See {@linkcode signatures.rope}. */
export function rope(
  dims: KernelDims["rope"],
  { outputs, inputs: [qkv = 0, table = 0, start = 0] }: Site,
): Step[] {
  const { B, T, NH, NKV, HS, L, interleaved, inverse } = dims;
  const rows = B * T;
  const width = (NH + 2 * NKV) * HS;
  const grain = rowsOfBlock(width);
  return [{
    kernel: ROPE,
    units: Math.ceil(rows / grain),
    args: [
      ...[...outputs, qkv, table, start, rows, T, NH + NKV, NKV, HS, L],
      ...[interleaved ? 1 : 0, inverse ? 1 : 0, grain],
    ],
    work: 3 * rows * width,
  }];
}

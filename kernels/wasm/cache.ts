/** The cache of keys and values: filling it. */

import type { KernelDims } from "../vocabulary.ts";
import { CACHE_APPEND } from "./codes.ts";
import { rowsOfBlock, type Site, type Step } from "./step.ts";

/** See {@linkcode KernelDims.cacheAppend}. */
export function cacheAppend(
  { B, T, L, NH, NKV, HS }: KernelDims["cacheAppend"],
  { outputs, inputs }: Site,
): Step[] {
  const rows = B * T;
  const width = 2 * NKV * HS;
  const grain = rowsOfBlock(width);
  return [{
    kernel: CACHE_APPEND,
    units: Math.ceil(rows / grain),
    args: [...outputs, ...inputs, rows, T, L, NH * HS, width, grain],
    work: rows * width,
  }];
}

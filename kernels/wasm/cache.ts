/** The key/value cache: filling it, and attention over it. */

import type { KernelDims } from "../vocabulary.ts";
import { scoreArgs, width } from "./attention.ts";
import {
  ATTENTION_CACHED,
  ATTENTION_CACHED_BY_BLAS,
  BLAS_QUERIES,
  CACHE_APPEND,
  NOTHING,
} from "./codes.ts";
import { rowsOfBlock, type Site, type Step } from "./step.ts";

/** The number of batch rows from which on each thread takes all heads of a row at a time. */
const ROWS_TO_SHARE = 8;

/** The number of queries of a row from which on a BLAS multiplies them. */
const QUERIES_FOR_BLAS = 16;

/** See {@linkcode signatures.cacheAppend}. */
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

/** See {@linkcode signatures.attentionCached}. */
export function attentionCached(
  dims: KernelDims["attentionCached"],
  site: Site,
): Step[] {
  const { B, T, L, NH, HS } = dims;
  const work = B * NH * T * L * HS;
  const operands = [...site.outputs, ...site.inputs];
  const scores = scoreArgs(dims, site, NOTHING);
  if (site.blas && T >= QUERIES_FOR_BLAS) {
    const turned = site.blas.unpacked > 0 ? 1 : 0;
    site.scratch(4 * (BLAS_QUERIES + turned * HS) * width(L));
    return [{
      ...{ kernel: ATTENTION_CACHED_BY_BLAS, units: B * NH, work },
      args: [...operands, ...scores, turned, L],
    }];
  }
  site.scratch(4 * width(L));
  return [{
    kernel: ATTENTION_CACHED,
    units: B * NH,
    // The heads of a position are adjacent in the cache.
    grain: B >= ROWS_TO_SHARE ? NH : 1,
    args: [...operands, ...scores, L],
    work,
  }];
}

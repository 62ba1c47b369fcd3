/** Attention over whole sequences, forward and backward. */

import type { AttentionDims, KernelDims, Mask } from "../vocabulary.ts";
import {
  ATTENTION,
  ATTENTION_BACKWARD,
  ATTENTION_BACKWARD_BY_BLAS,
  ATTENTION_BY_BLAS,
  BLAS_QUERIES,
  MASK_CAUSAL,
  MASK_FINITE,
  MASK_NONE,
  MASK_ZEROED,
  NOTHING,
  QUERIES,
  STRETCH,
} from "./codes.ts";
import { maskArguments } from "./random.ts";
import { bits, type Site, type Step } from "./step.ts";

const masks: Readonly<Record<Mask, number>> = {
  causal: MASK_CAUSAL,
  none: MASK_NONE,
  zeroed: MASK_ZEROED,
  finite: MASK_FINITE,
};

/** Rows of a tile and columns of a panel; see `assembly/tile.ts`. */
const TILE_ROWS = 5;
const PANEL = 8;

/** Returns the arguments that `assembly/scores.ts` reads. */
export function scoreArgs(
  dims: AttentionDims & { dropout?: number; site?: number },
  { constants }: Site,
  key: number,
): number[] {
  const { T, NH, NKV, HS, scale, mask, maskValue, slopes } = dims;
  const { dropout = 0, site = 0 } = dims;
  return [
    ...[T, NH, NKV, HS, bits(scale), masks[mask], bits(maskValue)],
    slopes.length > 0 ? constants(slopes) : NOTHING,
    ...[key, ...maskArguments({ rate: dropout, site })],
  ];
}

/** Returns n rounded up to whole panels. */
export function width(n: number): number {
  return Math.ceil(n / PANEL) * PANEL;
}

/** See {@linkcode signatures.attention}. */
export function attention(
  dims: KernelDims["attention"],
  site: Site,
): Step[] {
  const { B, T, NH, HS, mask } = dims;
  const [qkv, key = NOTHING] = site.inputs as [number, number?];
  const args = [...site.outputs, qkv, ...scoreArgs(dims, site, key)];
  const work = 2 * B * NH * T * T * HS / (mask === "causal" ? 2 : 1);
  if (site.blas) {
    const turned = site.blas.unpacked > 0 ? 1 : 0;
    site.scratch(4 * (BLAS_QUERIES + turned * HS) * width(T));
    return [{
      ...{ kernel: ATTENTION_BY_BLAS, units: B * NH, work },
      args: [...args, turned],
    }];
  }
  const floats = width(T) * HS + T * width(HS) + QUERIES * width(T) +
    QUERIES * Math.max(T, HS) + QUERIES;
  site.scratch(256 + 4 * floats);
  return [{ kernel: ATTENTION, units: B * NH, args, work }];
}

/** See {@linkcode signatures.attentionBackward}. */
export function attentionBackward(
  dims: KernelDims["attentionBackward"],
  site: Site,
): Step[] {
  const { B, T, NH, NKV, HS, mask } = dims;
  const [dy, y, lse, qkv, key = NOTHING] = site.inputs as [
    ...[number, number, number, number],
    number?,
  ];
  const args = [
    ...[...site.outputs, dy, y, lse, qkv],
    ...scoreArgs(dims, site, key),
  ];
  const work = 5 * B * NH * T * T * HS / (mask === "causal" ? 2 : 1);
  const units = B * NKV;
  if (site.blas) {
    const turned = site.blas.unpacked > 0 ? 1 : 0;
    site.scratch(8 * (BLAS_QUERIES + turned * HS) * width(T));
    return [{
      ...{ kernel: ATTENTION_BACKWARD_BY_BLAS, units, work },
      args: [...args, turned],
    }];
  }
  const stretch = Math.min(STRETCH, T);
  const floats = 2 * width(T) * HS + 3 * T * width(HS) +
    2 * (stretch + TILE_ROWS) * width(T) + QUERIES * Math.max(T, HS);
  site.scratch(256 + 4 * floats);
  return [{ kernel: ATTENTION_BACKWARD, units, args, work }];
}

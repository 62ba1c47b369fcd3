/** Cases of the conformance suite for attention: forward, backward, and over the key/value cache. */

import type {
  AttentionDims,
  AttentionDropoutDims,
  CacheDims,
  Mask,
} from "../../kernels/vocabulary.ts";
import type { Case } from "./conformance_case.ts";

const plain = {
  mask: "causal",
  maskValue: 0,
  slopes: [],
  dropout: 0,
  site: 0,
} as const;

/** Returns dims with the usual scale. */
function shape(
  B: number,
  T: number,
  [NH, NKV, HS]: readonly [number, number, number],
): Pick<AttentionDims, "B" | "T" | "NH" | "NKV" | "HS" | "scale"> {
  return { B, T, NH, NKV, HS, scale: 1 / Math.sqrt(HS) };
}

const masks: readonly Pick<AttentionDims, "mask" | "maskValue">[] = [
  { mask: "causal", maskValue: 0 },
  { mask: "none", maskValue: 0 },
  { mask: "zeroed", maskValue: 0 },
  // Close enough to the other scores that masked keys keep some weight.
  { mask: "finite", maskValue: -1.5 },
];

// Narrow heads, since software adapters take longer to compile kernels for wider heads.
const small = { ...plain, ...shape(2, 13, [4, 2, 4]) };
const slopes = [0.5, 0.25, 0.125, 0.0625];

const variants: readonly AttentionDropoutDims[] = [
  // All options together; the cases below use each mask alone.
  ...masks.map((mask) => ({
    ...small,
    ...mask,
    slopes,
    dropout: 0.3,
    site: 9,
  })),
  { ...small, scale: 1, mask: "finite", maskValue: -1e4 },
  { ...plain, ...shape(1, 1, [1, 1, 1]) },
  { ...plain, ...shape(2, 7, [6, 3, 2]), mask: "none" },
  { ...plain, ...shape(1, 67, [3, 1, 33]) },
  { ...plain, ...shape(1, 130, [2, 2, 12]), mask: "zeroed" },
  // The heads of the presets original and nano-cpu, of nano-gpu, and wider heads.
  { ...plain, ...shape(2, 128, [4, 4, 32]) },
  { ...plain, ...shape(1, 256, [2, 2, 64]), dropout: 0.2, site: 17 },
  { ...plain, ...shape(1, 37, [2, 1, 200]) },
  // One and two rows more than a multiple of each block size: 20 and 160 on the CPU, 32 on the GPU.
  ...[21, 33, 34, 161, 162].flatMap((T) =>
    masks.slice(0, 2).map((mask) => ({
      ...plain,
      ...shape(1, T, [2, 1, 4]),
      ...mask,
    }))
  ),
];

/** Returns start and count for rows that alternate between an empty cache, some padding, and no new token. */
function cacheValues(
  { B, T, L }: CacheDims,
): { start: number[]; count: number[] } {
  const start = [0, L - T, Math.min(2, L - T)];
  const count = [T, Math.max(1, T - 2), 0];
  const rows = Array.from({ length: B }, (_, b) => b % 3);
  return {
    start: rows.map((b) => start[b]!),
    count: rows.map((b) => count[b]!),
  };
}

/** Returns a case of sequences at different positions of a cache. */
function cached(
  T: number,
  L: number,
  [NH, NKV, HS]: readonly [number, number, number],
  B = 3,
): CacheDims & { scale: number } {
  return { ...shape(B, T, [NH, NKV, HS]), L };
}

const caches = [
  cached(1, 1, [1, 1, 1]),
  cached(5, 19, [3, 1, 5]),
  cached(13, 70, [6, 3, 10]),
  cached(1, 128, [4, 4, 32]),
  cached(64, 128, [4, 4, 32]),
  cached(1, 256, [2, 2, 64]),
  cached(3, 40, [2, 1, 128]),
  cached(2, 30, [4, 2, 36], 10), // many rows; a head size that is no multiple of the block size
  cached(1, 30, [2, 2, 48], 9),
  // One and two more than a multiple of the block sizes, as above, for new tokens and keys.
  cached(1, 33, [2, 1, 4]),
  cached(1, 129, [2, 1, 4]),
  cached(33, 66, [2, 1, 4]),
  cached(34, 64, [2, 1, 4]),
];

function withMask(
  dims: CacheDims & { scale: number },
  mask: Mask,
  options: Partial<AttentionDims> = {},
): CacheDims & AttentionDims {
  return { ...dims, mask, maskValue: 0, slopes: [], ...options };
}

const decode = cached(1, 16, [4, 2, 4]);
const prefill = cached(19, 70, [4, 2, 4]);

const cachedVariants: readonly (CacheDims & AttentionDims)[] = [
  ...caches.map((dims) => withMask(dims, "causal")),
  ...[decode, prefill].flatMap((dims) => [
    withMask(dims, "causal", { slopes }),
    withMask(dims, "none", { slopes }),
    withMask(dims, "zeroed"),
    withMask(dims, "finite", { maskValue: -1.5 }),
  ]),
  withMask(prefill, "finite", { maskValue: -1e4, slopes, scale: 1 }),
];

/** All cases of attention. */
export const attentionCases: readonly Case[] = [
  ...variants.flatMap((dims): Case[] => [
    { kernel: "attention", dims },
    { kernel: "attentionBackward", dims },
  ]),
  ...caches.map((dims): Case => ({
    kernel: "cacheAppend",
    dims,
    values: cacheValues(dims),
  })),
  ...cachedVariants.map((dims): Case => ({
    kernel: "attentionCached",
    dims,
    values: cacheValues(dims),
  })),
];

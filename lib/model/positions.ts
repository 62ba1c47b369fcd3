/** Constants of position encodings: sine tables, rotation tables, ALiBi's slopes. */

import type { ModelConfig } from "../config/model.ts";
import { ropeFrequencies } from "../config/rotary.ts";

/** Returns the tables of constants that a model's network reads, by the names of their stores in `network.ts`. */
export function positionTables(config: ModelConfig): Map<string, Float64Array> {
  const { position, blockSize, nEmbd } = config;
  if (position === "sinusoidal") {
    return new Map([["sinusoidal", sinusoidalTable(blockSize, nEmbd)]]);
  }
  if (position !== "rope" && position !== "rope-half") return new Map();
  return new Map([["rope", ropeTable(blockSize, ropeFrequencies(config))]]);
}

/**
 * Returns the sinusoidal position table (arXiv 1706.03762, section 3.5):
 * [t, 2i] = sin(t / 10000^(2i/C)), [t, 2i+1] = cos of the same.
 *
 * @returns table, shape (L, C); C is even
 */
export function sinusoidalTable(L: number, C: number): Float64Array {
  const table = new Float64Array(L * C);
  for (let t = 0; t < L; t++) {
    for (let i = 0; i < C; i += 2) {
      const angle = t / 10000 ** (i / C);
      table[t * C + i] = Math.sin(angle);
      table[t * C + i + 1] = Math.cos(angle);
    }
  }
  return table;
}

/**
 * Returns the cosines and sines of rotary angles: pair i at position t is rotated by t · frequencies[i].
 *
 * @param frequencies as from {@linkcode ropeFrequencies}, shape (HS/2)
 * @returns table, shape (L, HS/2, 2)
 */
export function ropeTable(L: number, frequencies: Float64Array): Float64Array {
  const table = new Float64Array(2 * L * frequencies.length);
  let at = 0;
  for (let t = 0; t < L; t++) {
    for (const frequency of frequencies) {
      table[at++] = Math.cos(t * frequency);
      table[at++] = Math.sin(t * frequency);
    }
  }
  return table;
}

/**
 * Returns ALiBi's slopes (arXiv 2108.12409, section 3): head h of n, counted from 1,
 * has slope 2^(-8h/n). If n is not a power of two, the slopes are those for the next
 * lower power p, followed by every other slope for 2p.
 */
export function alibiSlopes(n: number): number[] {
  const geometric = (heads: number) =>
    Array.from({ length: heads }, (_, h) => 2 ** (-8 * (h + 1) / heads));
  const lower = 2 ** Math.floor(Math.log2(n));
  if (lower === n) return geometric(n);
  const between = geometric(2 * lower).filter((_, h) => h % 2 === 0);
  return [...geometric(lower), ...between.slice(0, n - lower)];
}

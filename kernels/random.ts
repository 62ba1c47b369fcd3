/**
 * The only source of randomness: a counter-based generator with the same bits on
 * every backend. A number depends on (seed, purpose, step, index) and never on the
 * order in which numbers are drawn.
 *
 * The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). The key is (seed, purpose), the counter
 * is (index, step). The WGSL version is in `kernels/wgsl/random.ts`.
 */

/** The purposes of random numbers. Different purposes never share bits. */
export const Purpose = {
  /** Initial values of parameters; `step` is the parameter's number. */
  init: 1,
  /** Window offsets of training batches; `index` is the row, counted through the micro-batches of a step. */
  batch: 2,
  /** Dropout masks; `site` numbers the places of one network that use dropout. */
  dropout: 3,
  /** Drawing tokens; `step` is the token's number, `index` the row. */
  sample: 4,
  /** Configurations of a search; `step` is the draw, `index` the field. */
  search: 5,
} as const;

/** One of the values of {@linkcode Purpose}. */
export type Purpose = typeof Purpose[keyof typeof Purpose];

const PARITY = 0x1bd11bda;

/**
 * Computes one block of Threefry-2x32-20.
 *
 * @param out receives the two output words, unsigned 32-bit
 */
export function threefry2x32(
  key0: number,
  key1: number,
  counter0: number,
  counter1: number,
  out: Uint32Array,
): void {
  const key2 = PARITY ^ key0 ^ key1;
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  for (let group = 0; group < 5; group++) {
    if ((group & 1) === 0) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
    } else {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
    }
    // Key injection: the words of (key0, key1, key2) in rotation, and the round.
    const a = group % 3;
    x0 = (x0 + (a === 0 ? key1 : a === 1 ? key2 : key0)) | 0;
    x1 = (x1 + (a === 0 ? key2 : a === 1 ? key0 : key1) + group + 1) | 0;
  }
  out[0] = x0;
  out[1] = x1;
}

/** Returns the second key word, which holds a purpose and the site within the network. */
export function purposeKey(purpose: Purpose, site: number): number {
  return purpose | (site << 8);
}

/**
 * Random numbers for one purpose, each a pure function of (seed, step, index).
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const random = new CounterRandom(1, Purpose.batch);
 * assertEquals(random.bits(0, 5), new CounterRandom(1, Purpose.batch).bits(0, 5));
 * ```
 */
export class CounterRandom {
  readonly #seed: number;
  readonly #key: number;
  readonly #words = new Uint32Array(2);

  /**
   * @param seed an integer in [0, 2^32)
   * @param site the number of one of several uses of a purpose; an integer in [0, 2^24)
   * @throws {RangeError} if the seed is not such an integer
   */
  constructor(seed: number, purpose: Purpose, site = 0) {
    checkSeed(seed);
    this.#seed = seed;
    this.#key = purposeKey(purpose, site);
  }

  /** Returns 32 random bits, as an integer in [0, 2^32). */
  bits(step: number, index: number): number {
    threefry2x32(this.#seed, this.#key, index, step, this.#words);
    return this.#words[0]!;
  }

  /** Returns a uniform number in [0, 1), a multiple of 2^-32. */
  uniform(step: number, index: number): number {
    return this.bits(step, index) / 2 ** 32;
  }

  /** Returns a uniform integer in [0, n), by 64-bit multiplication: the bias is below n / 2^64. */
  below(n: number, step: number, index: number): number {
    threefry2x32(this.#seed, this.#key, index, step, this.#words);
    const wide = (BigInt(this.#words[0]!) << 32n) | BigInt(this.#words[1]!);
    return Number((wide * BigInt(n)) >> 64n);
  }

  /** Returns a standard normal number, by the Box-Muller transform of the two words. */
  normal(step: number, index: number): number {
    threefry2x32(this.#seed, this.#key, index, step, this.#words);
    const radius = Math.sqrt(-2 * Math.log((this.#words[0]! + 1) / 2 ** 32));
    return radius * Math.cos(2 * Math.PI * this.#words[1]! / 2 ** 32);
  }
}

/** Throws a `RangeError` if a seed is not an integer in [0, 2^32). */
function checkSeed(seed: number): void {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(
      `Cannot use seed ${seed}: it is not an integer from 0 to 4294967295`,
    );
  }
}

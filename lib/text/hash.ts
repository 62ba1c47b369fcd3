/** Hashing for tables in typed arrays. */

/** Returns a 32-bit hash of two numbers as a signed integer (the finalizer of MurmurHash3). */
export function hash(beginning: number, token: number): number {
  let h = Math.imul(beginning, 0x9e3779b1) ^ Math.imul(token, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * Checksums that detect damaged bytes: XXH32, 32 bits
 * (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), of this program's files, and CRC-32, of those of
 * other programs. They miss 1 in 2^32 accidental changes, such as a flipped bit or a block of zeros. They are not
 * cryptographic and give no protection against deliberate changes.
 */

const P1 = 0x9e3779b1;
const P2 = 0x85ebca77;
const P3 = 0xc2b2ae3d;
const P4 = 0x27d4eb2f;
const P5 = 0x165667b1;

/** Bytes of a stripe: four lanes of 32 bits. */
const STRIPE = 16;

/**
 * Returns the XXH32 checksum of bytes.
 *
 * @param bytes of any length
 * @param seed an integer in [0, 2^32)
 * @returns an integer in [0, 2^32)
 */
export function xxh32(bytes: Uint8Array, seed = 0): number {
  return new Xxh32(seed).update(bytes).value();
}

/** The XXH32 checksum of bytes that come in pieces. */
export class Xxh32 {
  readonly #seed: number;
  /** Four lanes. */
  #a: number;
  #b: number;
  #c: number;
  #d: number;
  /** Bytes after the last whole stripe. */
  #rest: Uint8Array = new Uint8Array();
  #length = 0;

  /** @param seed an integer in [0, 2^32) */
  constructor(seed: number) {
    this.#seed = seed;
    this.#a = (seed + P1 + P2) | 0;
    this.#b = (seed + P2) | 0;
    this.#c = seed | 0;
    this.#d = (seed - P1) | 0;
  }

  /** Adds bytes, whose number is a multiple of 16 unless they are the last. */
  update(bytes: Uint8Array): this {
    if (this.#rest.length > 0) {
      throw new RangeError("only the last bytes may end within a stripe");
    }
    const whole = Math.floor(bytes.length / STRIPE) * STRIPE;
    const words = wordsOf(bytes.subarray(0, whole));
    let [a, b, c, d] = [this.#a, this.#b, this.#c, this.#d];
    for (let at = 0; at < words.length; at += 4) {
      a = round(a, words[at]!);
      b = round(b, words[at + 1]!);
      c = round(c, words[at + 2]!);
      d = round(d, words[at + 3]!);
    }
    [this.#a, this.#b, this.#c, this.#d] = [a, b, c, d];
    this.#rest = bytes.slice(whole);
    this.#length += bytes.length;
    return this;
  }

  /** Returns the checksum, an integer in [0, 2^32). */
  value(): number {
    let hash = this.#length < STRIPE
      ? this.#seed + P5
      : rotate(this.#a, 1) + rotate(this.#b, 7) + rotate(this.#c, 12) +
        rotate(this.#d, 18);
    hash = (hash + this.#length) | 0;
    const words = wordsOf(this.#rest);
    for (const value of words) {
      const word = Math.imul(value, P3);
      hash = Math.imul(rotate((hash + word) | 0, 17), P4);
    }
    for (const value of this.#rest.subarray(4 * words.length)) {
      const byte = Math.imul(value, P5);
      hash = Math.imul(rotate((hash + byte) | 0, 11), P1);
    }
    hash = Math.imul(hash ^ (hash >>> 15), P2);
    hash = Math.imul(hash ^ (hash >>> 13), P3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}

/** Returns the complete 32-bit words of bytes, in the machine's byte order (little-endian; see `safetensors.ts`). */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset } = aligned(bytes);
  return new Uint32Array(buffer, byteOffset, Math.floor(bytes.length / 4));
}

/** Returns the bytes, copied if their offset is not a multiple of 4. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
}

function round(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, P2)) | 0, 13), P1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** Returns the CRC-32 of zip archives (ISO 3309). */
export const crc32: (bytes: Uint8Array) => number = crcOf(0xedb88320);

/** Returns the CRC-32C of TensorBoard's events (RFC 3720, B.4): Castagnoli's polynomial. */
export const crc32c: (bytes: Uint8Array) => number = crcOf(0x82f63b78);

/** Makes a cyclic redundancy check of 32 bits from its polynomial, whose lowest bit is that of the highest power. */
function crcOf(polynomial: number): (bytes: Uint8Array) => number {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    }
    return crc;
  });
  return (bytes) => {
    let crc = 0xffffffff;
    for (let i = 0; i < bytes.length; i++) {
      crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
    }
    return ~crc >>> 0;
  };
}

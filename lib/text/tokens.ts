/** Arrays of token ids in the smallest element type that holds the vocabulary. */
import { refusal } from "../refusal.ts";

/** Token ids, shape (N); {@linkcode tokensOf} chooses the element type. */
export type Tokens = Uint8Array | Uint16Array | Int32Array;

/**
 * Returns an array of zeros for token ids, in the smallest element type that holds the vocabulary:
 * 1 byte up to 256 ids, 2 bytes up to 65,536, else 4.
 *
 * @param vocabSize number of ids, each an integer in [0, vocabSize)
 * @param length number of tokens
 * @throws {RangeError} if the engine cannot allocate an array of that length
 */
export function tokensOf(vocabSize: number, length: number): Tokens {
  const Elements = vocabSize <= 2 ** 8
    ? Uint8Array
    : vocabSize <= 2 ** 16
    ? Uint16Array
    : Int32Array;
  try {
    return new Elements(length);
  } catch (cause) {
    throw refusal(
      RangeError,
      `hold ${length} tokens of ${Elements.BYTES_PER_ELEMENT} bytes`,
      `no memory of ${length * Elements.BYTES_PER_ELEMENT} bytes could be had`,
      { cause },
    );
  }
}

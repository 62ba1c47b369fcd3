/** Arrays of token ids, no wider than their vocabulary asks for. */

/** Token ids, shape (N), in an array whose elements hold the vocabulary: see {@linkcode tokensOf}. */
export type Tokens = Uint8Array | Uint16Array | Int32Array;

/**
 * Makes room for tokens in the smallest elements that hold every id of a vocabulary: 1 byte
 * up to 256 ids, 2 bytes up to 65,536, else 4.
 *
 * @param vocabSize ids are integers in [0, vocabSize)
 * @param length how many tokens
 * @throws {RangeError} if the engine has no arrays of that length
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
    throw new RangeError(
      `Cannot hold ${length} tokens of ${Elements.BYTES_PER_ELEMENT} bytes: no memory of ${
        length * Elements.BYTES_PER_ELEMENT
      } bytes could be had`,
      { cause },
    );
  }
}

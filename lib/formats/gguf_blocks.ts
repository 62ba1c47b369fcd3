/**
 * Quantized weights in GGUF files: blocks of small integers with a common scale (ggml, `ggml-common.h` and
 * `dequantize_row_*` in `ggml-quants.c`). A scale d is a 16-bit float, and the results are those of ggml, bit for bit.
 *
 *     Q8_0   32 numbers    d, 32 signed bytes                                   d · q
 *     Q4_0   32 numbers    d, 16 bytes: numbers 0 to 15 low, 16 to 31 high      d · (q - 8)
 *     Q6_K   256 numbers   128 bytes of low halves, 64 bytes of upper pairs of
 *                          bits, 16 signed bytes s, d; s is for 16 numbers      d · s · (q - 32)
 */

/** A type of blocks. */
export interface BlockType {
  readonly name: string;
  /** Numbers in a block. */
  readonly numbers: number;
  /** Bytes of a block. */
  readonly bytes: number;
  /** Writes the numbers of a block. */
  readonly widen: (block: DataView, into: Float32Array) => void;
}

/** The types of blocks, by their numbers in a file. */
export const blockTypes: ReadonlyMap<number, BlockType> = new Map([
  [2, { name: "Q4_0", numbers: 32, bytes: 18, widen: widenQ4 }],
  [8, { name: "Q8_0", numbers: 32, bytes: 34, widen: widenQ8 }],
  [14, { name: "Q6_K", numbers: 256, bytes: 210, widen: widenQ6 }],
]);

function widenQ4(block: DataView, into: Float32Array): void {
  const d = block.getFloat16(0, true);
  for (let i = 0; i < 16; i++) {
    const pair = block.getUint8(2 + i);
    into[i] = d * ((pair & 15) - 8);
    into[i + 16] = d * ((pair >> 4) - 8);
  }
}

function widenQ8(block: DataView, into: Float32Array): void {
  const d = block.getFloat16(0, true);
  for (let i = 0; i < 32; i++) into[i] = d * block.getInt8(2 + i);
}

/** Each half of a block has its own 64 low bytes, 32 upper bytes and 8 scales; quarters of 32 numbers share the bytes. */
function widenQ6(block: DataView, into: Float32Array): void {
  const d = block.getFloat16(208, true);
  for (let i = 0; i < 256; i++) {
    const [half, quarter, at] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = block.getUint8(64 * half + 32 * (quarter & 1) + at);
    const upper = block.getUint8(128 + 32 * half + at);
    const q = ((low >> (4 * (quarter >> 1))) & 15) |
      (((upper >> (2 * quarter)) & 3) << 4);
    into[i] = d * block.getInt8(192 + (i >> 4)) * (q - 32);
  }
}

/** Returns the numbers of some blocks. */
export function widened(
  { numbers, bytes, widen }: BlockType,
  data: Uint8Array,
): Float32Array {
  const count = data.length / bytes;
  const all = new Float32Array(count * numbers);
  for (let i = 0; i < count; i++) {
    widen(
      new DataView(data.buffer, data.byteOffset + i * bytes, bytes),
      all.subarray(i * numbers, (i + 1) * numbers),
    );
  }
  return all;
}

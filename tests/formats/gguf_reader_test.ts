/** GGUF files as such: the numbers of quantized blocks, and damage that is refused by reason. */

import { assertEquals, assertRejects } from "@std/assert";
import { concat } from "../../lib/cli/run/files.ts";
import { blockTypes, widened } from "../../lib/formats/gguf_blocks.ts";
import { openGguf } from "../../lib/formats/gguf_reader.ts";
import { sourceOf } from "../fixtures/exported_files.ts";

// ggml-common.h and ggml-quants.c, by hand. The scale 0x3800 is 0.5.
Deno.test("Blocks of Q4_0, Q8_0 and Q6_K have ggml's numbers", () => {
  const block = (number: number, fill: (bytes: Uint8Array) => void) => {
    const type = blockTypes.get(number)!;
    const bytes = new Uint8Array(2 * type.bytes);
    fill(bytes.subarray(type.bytes));
    const all = widened(type, bytes);
    assertEquals(all.subarray(0, type.numbers).some((n) => n !== 0), false);
    return [...all.subarray(type.numbers)];
  };
  const q4 = block(2, (bytes) => {
    bytes.set([0x00, 0x38, 0x08, 0xf1]);
    bytes[17] = 0x70;
  });
  assertEquals([q4[0], q4[16]], [0, -4]);
  assertEquals([q4[1], q4[17]], [-3.5, 3.5]);
  assertEquals([q4[15], q4[31]], [-4, -0.5]);
  assertEquals(q4[2], -4);
  const q8 = block(8, (bytes) => {
    bytes.set([0x00, 0x38, 0x01, 0xff, 0x80]);
    bytes[33] = 0x7f;
  });
  assertEquals([q8[0], q8[1], q8[2], q8[31]], [0.5, -0.5, -64, 63.5]);
  const q6 = block(14, (bytes) => {
    for (let i = 0; i < 16; i++) bytes[192 + i] = i + 1;
    bytes.set([0x00, 0x38], 208);
    // The last byte of the low halves: number 127 + 32 · 3 of its half low, and 255 high.
    bytes[127] = 0xa5;
    bytes[191] = 0b11_00_10_01;
    bytes[0] = 0x0f;
  });
  // (low | upper << 4) - 32, times the scale of its 16 numbers, halved.
  assertEquals(q6[0], 0.5 * 1 * (0x0f - 32));
  assertEquals(q6[159], 0.5 * 10 * (0x10 - 32));
  assertEquals(q6[191], 0.5 * 12 * (0x25 - 32));
  assertEquals(q6[223], 0.5 * 14 * (0x00 - 32));
  assertEquals(q6[255], 0.5 * 16 * (0x3a - 32));
});

const u32 = (...numbers: number[]) =>
  new Uint8Array(Uint32Array.from(numbers).buffer);
const u64 = (...numbers: (number | bigint)[]) =>
  new Uint8Array(BigUint64Array.from(numbers, BigInt).buffer);
const word = (text: string) => {
  const bytes = new TextEncoder().encode(text);
  return concat([u64(bytes.length), bytes]);
};
const magic = new TextEncoder().encode("GGUF");
/** A header with one tensor and no values. */
const oneTensor = (
  { name = "w", dims = [4], type = 0, offset = 0 }: {
    name?: string;
    dims?: (number | bigint)[];
    type?: number;
    offset?: number;
  },
) =>
  concat([
    ...[magic, u32(3), u64(1, 0), word(name), u32(dims.length), u64(...dims)],
    ...[u32(type), u64(offset), new Uint8Array(64)],
  ]);
const oneValue = (...parts: Uint8Array[]) =>
  concat([magic, u32(3), u64(0, 1), word("k"), ...parts, new Uint8Array(64)]);

/** Files that are damaged in their bytes, and the reasons for which they are refused. */
const damaged: readonly (readonly [reason: string, bytes: Uint8Array])[] = [
  ["the file ends within its header, at byte 0", new Uint8Array()],
  ["it does not begin with GGUF", new TextEncoder().encode("GGML1234")],
  ["it has version 1", concat([magic, u32(1)])],
  ["its numbers are big-endian", concat([magic, u32(0x03000000)])],
  [
    "it claims 1000000 tensors at byte 16",
    concat([magic, u32(3), u64(1_000_000, 0)]),
  ],
  [
    "the number of tensors is 18446744073709551615, more than can be counted",
    concat([magic, u32(3), u64(2n ** 64n - 1n, 0)]),
  ],
  ["it claims 999 values", concat([magic, u32(3), u64(0, 999)])],
  [
    "the file ends within its header",
    concat([magic, u32(3), u64(0, 1), word("key of a value")]),
  ],
  [
    "it claims 5000 bytes of text",
    concat([magic, u32(3), u64(0, 1), u64(5000), new Uint8Array(40)]),
  ],
  ["is not UTF-8", oneValue(u32(8), u64(2), Uint8Array.of(0xc3, 0x28))],
  ['the value "k" has the type 13', oneValue(u32(13))],
  ['the value "k" has the type 9', oneValue(u32(9, 9), u64(2))],
  ["it claims 4503599627370495 values", oneValue(u32(9, 5), u64(2 ** 52 - 1))],
  ["general.alignment is 7", alignedTo(7)],
  ["general.alignment is 0", alignedTo(0)],
  ["has 5 dimensions, the limit is 4", oneTensor({ dims: [1, 1, 1, 1, 1] })],
  [
    "has the type Q4_K, and this program knows only F32",
    oneTensor({ type: 12 }),
  ],
  ["has the type 99", oneTensor({ type: 99 })],
  [
    "has rows of 33 numbers, and Q8_0 is in blocks of 32",
    oneTensor({ type: 8, dims: [33] }),
  ],
  ["begins at 4, not at a multiple of 32", oneTensor({ offset: 4 })],
  ["ends at byte 1073741", oneTensor({ dims: [2 ** 28] })],
  ["ends at byte", oneTensor({ dims: [2 ** 52, 2 ** 52, 2 ** 52] })],
  ["a dimension is", oneTensor({ dims: [2n ** 63n] })],
];

function alignedTo(alignment: number): Uint8Array {
  const parts = [magic, u32(3), u64(0, 1), word("general.alignment"), u32(4)];
  return concat([...parts, u32(alignment), new Uint8Array(64)]);
}

for (const [reason, bytes] of damaged) {
  Deno.test(`Damaged GGUF: ${reason}`, async () => {
    await assertRejects(() => openGguf(sourceOf(bytes)), SyntaxError, reason);
  });
}

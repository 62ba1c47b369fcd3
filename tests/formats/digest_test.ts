import { assertEquals, assertThrows } from "@std/assert";
import { crc32, crc32c, Xxh32, xxh32 } from "../../lib/formats/digest.ts";

const encode = (text: string) => new TextEncoder().encode(text);

// The empty text's value is in the specification, the others are the reference program's.
Deno.test("xxh32 gives the published checksums", () => {
  assertEquals(xxh32(encode("")), 0x02cc5d05);
  assertEquals(xxh32(encode("abc")), 0x32d153ff);
  assertEquals(
    xxh32(encode("Nobody inspects the spammish repetition")),
    0xe2293b2f,
  );
});

Deno.test("xxh32 does not depend on the bytes' offset, and differs for each byte, length and seed", () => {
  const seen = new Set<number>();
  for (const length of [0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7) & 255);
    const expected = xxh32(bytes, 3);
    for (const offset of [1, 2, 3]) {
      const shifted = new Uint8Array(length + offset).subarray(offset);
      shifted.set(bytes);
      assertEquals(xxh32(shifted, 3), expected);
    }
    seen.add(expected);
    for (let i = 0; i < length; i++) {
      const spoilt = bytes.slice();
      spoilt[i]! ^= 1;
      seen.add(xxh32(spoilt, 3));
    }
    seen.add(xxh32(bytes, 4));
  }
  const lengths = [0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63];
  assertEquals(
    seen.size,
    lengths.reduce((count, length) => count + length + 2, 0),
  );
});

Deno.test("crc32 and crc32c give the published checksums", () => {
  // The check values of the catalogue of parametrised CRC algorithms, and RFC 3720, B.4.
  const digits = new TextEncoder().encode("123456789");
  assertEquals(crc32(digits), 0xcbf43926);
  assertEquals(crc32c(digits), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
});

Deno.test("xxh32 of pieces is that of the whole, and only the last may have half a stripe", () => {
  const bytes = Uint8Array.from({ length: 77 }, (_, i) => 31 * i);
  for (const cut of [0, 16, 48, 64]) {
    const pieces = new Xxh32(5).update(bytes.subarray(0, cut));
    pieces.update(bytes.subarray(cut));
    assertEquals(pieces.value(), xxh32(bytes, 5), `${cut}`);
  }
  const half = new Xxh32(5).update(bytes.subarray(0, 17));
  assertThrows(() => half.update(bytes), RangeError);
});

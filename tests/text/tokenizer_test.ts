import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { CharacterSet } from "../../lib/text/characters.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { tokensOf } from "../../lib/text/tokens.ts";

/** Latin, accents, CJK, an emoji, a byte order mark and a joiner: 1 to 4 bytes of UTF-8. */
const MIXED = "\ufeffNaïve 日本語 — 👩‍🚀!\r\n\tend\u0000";

/** Integers in [0, n), the same ones every time. */
function randomIntegers(count: number, n: number): number[] {
  const random = new CounterRandom(20, Purpose.init);
  return Array.from({ length: count }, (_, i) => random.below(n, 0, i));
}

Deno.test("Tokenizer.ascii gives each of the 128 characters its code as id", () => {
  const tokenizer = Tokenizer.ascii();
  const codes = Array.from({ length: 128 }, (_, code) => code);
  const text = String.fromCharCode(...codes);
  assertEquals(tokenizer.vocabSize, 128);
  assertEquals([...tokenizer.encode(text)], codes);
  assertEquals(tokenizer.decode(codes), text);
});

Deno.test("Tokenizer.ascii refuses a character beyond ASCII, with its code point and place", () => {
  const refused = (text: string) =>
    assertThrows(() => Tokenizer.ascii().encode(text), RangeError).message;
  assertStringIncludes(
    refused("first\nto be é"),
    '"é" (U+00E9) at line 2, column 7',
  );
  assertStringIncludes(refused("\u0080"), "(U+0080) at line 1, column 1");
  assertStringIncludes(refused("\n😀"), '"😀" (U+1F600) at line 2, column 1');
  assertStringIncludes(
    refused("a\n\n\nbc\ud800"),
    "(U+D800) at line 4, column 3",
  );
  assertStringIncludes(refused("é").split("\n")[1]!, "hint: ");
});

Deno.test("Tokenizer.chars numbers the distinct characters by code point", () => {
  // By UTF-16 unit U+1F600 (D83D DE00) would come before U+FF5E.
  const tokenizer = Tokenizer.chars("b😀a\n～ab");
  assertEquals(tokenizer.vocabSize, 5);
  assertEquals(tokenizer.decode([0, 1, 2, 3, 4]), "\nab～😀");
  assertEquals([...tokenizer.encode("😀b～")], [4, 2, 3]);
});

Deno.test("Tokenizer.chars numbers tiny Shakespeare's characters as nanoGPT does", () => {
  const vocabulary =
    "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const ids = Array.from({ length: 65 }, (_, id) => id);
  const shuffled = [...vocabulary].reverse().join("") + vocabulary;
  assertEquals([...Tokenizer.chars(shuffled).encode(vocabulary)], ids);
});

Deno.test("Tokenizer.chars refuses a character outside its vocabulary, and shows the vocabulary", () => {
  const tokenizer = Tokenizer.chars("to be\nor not");
  const { message } = assertThrows(
    () => tokenizer.encode("to\nbe?"),
    RangeError,
  );
  assertStringIncludes(message, '"?" (U+003F) at line 2, column 3');
  assertStringIncludes(message, "one of the 8 characters");
  assertStringIncludes(message, '"\\n benort"');
});

Deno.test("A place counts characters, not the halves of those beyond U+FFFF", () => {
  assertThrows(
    () => Tokenizer.chars("🎭\n").encode("🎭\n🎭🎭é"),
    RangeError,
    '"é" (U+00E9) at line 2, column 3',
  );
});

Deno.test("Tokenizer.chars refuses an empty text and half a surrogate pair", () => {
  assertThrows(() => Tokenizer.chars(""), RangeError, "0 characters");
  assertThrows(
    () => Tokenizer.chars("ab\udc00"),
    RangeError,
    "U+DC00) at line 1, column 3",
  );
});

Deno.test("Tokenizer.bytes encodes as UTF-8", () => {
  const tokenizer = Tokenizer.bytes();
  assertEquals(tokenizer.vocabSize, 256);
  assertEquals([...tokenizer.encode("é€😀")], [
    ...[0xc3, 0xa9],
    ...[0xe2, 0x82, 0xac],
    ...[0xf0, 0x9f, 0x98, 0x80],
  ]);
});

Deno.test("Tokenizer.bytes refuses half a surrogate pair, which decoding could not restore", () => {
  assertThrows(
    () => Tokenizer.bytes().encode("x\n\ud83d!"),
    RangeError,
    "line 2, column 1",
  );
});

Deno.test("Tokenizer.decode restores every text that encode accepts", () => {
  const shuffled = randomIntegers(500, [...MIXED].length).map((i) =>
    [...MIXED][i]
  ).join("");
  // Around the pieces that long texts are decoded in.
  const long = [4095, 4096, 4097, 8192, 8193].map((length) =>
    Array.from({ length }, (_, i) => [...MIXED][i * i % [...MIXED].length])
      .join("")
  );
  for (const text of ["", "a", MIXED, shuffled, ...long]) {
    for (const tokenizer of [Tokenizer.chars(MIXED), Tokenizer.bytes()]) {
      assertEquals(
        tokenizer.decode(tokenizer.encode(text)),
        text,
        tokenizer.kind,
      );
    }
  }
});

Deno.test("Tokenizer.decode refuses ids outside the vocabulary", () => {
  for (
    const tokenizer of [
      Tokenizer.ascii(),
      Tokenizer.chars("abc"),
      Tokenizer.bytes(),
    ]
  ) {
    for (const id of [-1, tokenizer.vocabSize, 0.5, NaN]) {
      const hint = `ids are integers from 0 to ${tokenizer.vocabSize - 1}`;
      assertThrows(() => tokenizer.decode([0, id]), RangeError, hint);
      assertThrows(() => tokenizer.stream().push(id), RangeError, hint);
    }
  }
});

Deno.test("A decode stream holds a character of several bytes back until it is complete", () => {
  const stream = Tokenizer.bytes().stream();
  const parts = [...Tokenizer.bytes().encode("a€😀")].map((id) =>
    stream.push(id)
  );
  assertEquals(parts, ["a", "", "", "€", "", "", "", "😀"]);
  assertEquals(stream.flush(), "");
});

Deno.test("A decode stream turns a character cut short into U+FFFD", () => {
  const stream = Tokenizer.bytes().stream();
  assertEquals([0xe2, 0x82].map((id) => stream.push(id)), ["", ""]);
  assertEquals(stream.push(0x41), "\ufffdA");
  assertEquals(stream.push(0xc3), "");
  assertEquals(stream.flush(), "\ufffd");
});

Deno.test("A decode stream's parts together equal the result of decode", () => {
  const characters = Tokenizer.chars(MIXED);
  const cases: [Tokenizer, number[]][] = [
    [characters, randomIntegers(300, characters.vocabSize)],
    [Tokenizer.bytes(), [...Tokenizer.bytes().encode(MIXED)]],
    // Random bytes are UTF-8 almost nowhere.
    [Tokenizer.bytes(), randomIntegers(5000, 256)],
  ];
  for (const [tokenizer, ids] of cases) {
    const stream = tokenizer.stream();
    const parts = ids.map((id) => stream.push(id));
    assertEquals(parts.join("") + stream.flush(), tokenizer.decode(ids));
  }
});

Deno.test("Two decode streams of one tokenizer do not disturb each other", () => {
  const tokenizer = Tokenizer.bytes();
  const [first, second] = [tokenizer.stream(), tokenizer.stream()];
  first.push(0xc3);
  assertEquals(second.push(0x41), "A");
  assertEquals(first.push(0xa9), "é");
});

Deno.test("Tokenizer.fromJSON restores what JSON.stringify wrote", () => {
  for (
    const tokenizer of [
      Tokenizer.ascii(),
      Tokenizer.chars(MIXED),
      Tokenizer.bytes(),
    ]
  ) {
    const restored = Tokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)));
    assertEquals(restored.kind, tokenizer.kind);
    assertEquals(restored.vocabSize, tokenizer.vocabSize);
    assertEquals(restored.encode("end!"), tokenizer.encode("end!"));
    assertEquals(restored.decode([3, 1, 2]), tokenizer.decode([3, 1, 2]));
  }
});

Deno.test("Tokenizer.fromJSON refuses what describes no tokenizer", () => {
  const cases: [unknown, string][] = [
    [null, "expected an object, got null"],
    ["ascii", "expected an object, got string"],
    [{}, "kind is undefined"],
    [{ kind: "words" }, 'kind is "words"'],
    [{ kind: ["ascii"] }, 'kind is ["ascii"]'],
    [{ kind: "chars" }, "chars is undefined"],
    [{ kind: "chars", chars: ["a", "b"] }, "chars is object"],
    [{ kind: "chars", chars: "" }, "chars is empty"],
    [{ kind: "chars", chars: "abca" }, 'chars holds "a" (U+0061) twice'],
    [
      { kind: "chars", chars: "a\ud800" },
      "chars contains half a surrogate pair",
    ],
  ];
  for (const [json, reason] of cases) {
    assertThrows(
      () => Tokenizer.fromJSON(json),
      SyntaxError,
      `Cannot read tokenizer: ${reason}`,
    );
  }
});

Deno.test("Tokenizer.encoder gives the same ids for pieces of any size as encode for the whole", () => {
  const text = "naïve 🎭🎨\n日本語 and ASCII\n".repeat(7);
  for (
    const [tokenizer, Elements] of [
      [Tokenizer.chars(text), Uint8Array],
      [Tokenizer.bytes(), Uint8Array],
      [
        Tokenizer.chars(
          text + Array.from(
            { length: 300 },
            (_, i) => String.fromCharCode(0x4e00 + i),
          ).join(""),
        ),
        Uint16Array,
      ],
    ] as const
  ) {
    for (const size of [1, 2, 3, 7, 1000]) {
      const characters = new CharacterSet();
      const encoder = tokenizer.encoder();
      const ids: number[] = [];
      for (let at = 0; at < text.length; at += size) {
        const piece = text.slice(at, at + size);
        characters.add(piece);
        const some = encoder.push(piece);
        assert(some instanceof Elements);
        ids.push(...some);
      }
      encoder.flush();
      assertEquals(ids, [...tokenizer.encode(text)], `pieces of ${size}`);
      assertEquals(
        Tokenizer.chars(characters).toJSON(),
        Tokenizer.chars(text).toJSON(),
      );
      assertEquals(characters.count, [...text].length);
      assertEquals(characters.bytes, Tokenizer.bytes().encode(text).length);
    }
  }
});

Deno.test("Token arrays are no wider than their vocabulary, and hold its last id", () => {
  for (
    const [vocabSize, bytes] of [
      ...[[1, 1], [255, 1], [256, 1], [257, 2], [65_535, 2], [65_536, 2]],
      ...[[65_537, 4], [2 ** 24, 4]],
    ] as const
  ) {
    const tokens = tokensOf(vocabSize, 2);
    tokens[1] = vocabSize - 1;
    assertEquals(
      [tokens.length, tokens[1], tokens.BYTES_PER_ELEMENT],
      [2, vocabSize - 1, bytes],
    );
  }
});

Deno.test("Tokenizer.encoder gives the place of an unknown character, counted from the first piece", () => {
  const encoder = Tokenizer.ascii().encoder();
  for (const piece of ["one\ntw", "o\n", "thr"]) encoder.push(piece);
  assertThrows(
    () => encoder.push("ee é"),
    RangeError,
    '"é" (U+00E9) at line 3, column 7',
  );
});

Deno.test("Tokenizer.encoder and CharacterSet refuse a lone half of a surrogate pair", () => {
  for (const tokenizer of [Tokenizer.bytes(), Tokenizer.chars("a")]) {
    const encoder = tokenizer.encoder();
    encoder.push("a\ud83c");
    assertThrows(() => encoder.flush(), RangeError, "(U+D83C) at line 1");
  }
  assertThrows(
    () => new CharacterSet().add("\udfad!"),
    RangeError,
    "half a surrogate pair",
  );
  const cut = new CharacterSet();
  cut.add("a\ud83c");
  assertThrows(() => cut.chars, RangeError, "half a surrogate pair");
});

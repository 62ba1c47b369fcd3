import { assert, assertEquals, assertThrows } from "@std/assert";
import type { BpeJSON } from "../../lib/text/bpe/vocabulary.ts";
import { tokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { readTokenizer } from "../../lib/formats/tokenizers.ts";
import { generateText } from "../../lib/model/generate.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { opening, promptIds } from "../../lib/text/opening.ts";
import { endOfText } from "../../lib/text/special.ts";
import { tokenText } from "../../lib/text/token_text.ts";
import { charactersIn, Tokenizer } from "../../lib/text/tokenizer.ts";

const NAME = "<|endoftext|>";
const TEXT = `the cat's ${NAME} hat\nthe cat, the hat é`;

/** Every kind of tokenizer with the token, and the same one without it. */
const pairs: readonly (readonly [Tokenizer, Tokenizer])[] = [
  [Tokenizer.chars(TEXT, { endOfText: true }), Tokenizer.chars(TEXT)],
  [Tokenizer.bytes({ endOfText: true }), Tokenizer.bytes()],
  [
    Tokenizer.bpe(TEXT, { vocabSize: 263, endOfText: true }),
    Tokenizer.bpe(TEXT, { vocabSize: 262 }),
  ],
];

Deno.test("<|endoftext|> is the last token of a tokenizer made with it, and no text is encoded to it", () => {
  assertEquals(endOfText(Tokenizer.ascii({ endOfText: true })), 128);
  for (const [tokenizer, plain] of pairs) {
    const end = endOfText(tokenizer)!;
    assertEquals(end, tokenizer.vocabSize - 1);
    assertEquals(plain.vocabSize, end);
    assertEquals(endOfText(plain), undefined);
    assertEquals(tokenizer.encode(TEXT), plain.encode(TEXT));
    const encoder = tokenizer.encoder();
    const parts = [
      encoder.push(TEXT.slice(0, 15)),
      encoder.push(TEXT.slice(15)),
    ];
    const ids = [...parts, encoder.flush()].flatMap((part) => [...part]);
    assertEquals(ids, [...plain.encode(TEXT)]);
    assertEquals(tokenizer.decode(ids), TEXT);
  }
});

Deno.test("encode gives special tokens only for the names that are allowed", () => {
  for (const [tokenizer, plain] of pairs) {
    const end = endOfText(tokenizer)!;
    const [before, after] = TEXT.split(NAME) as [string, string];
    const expected = [...plain.encode(before), end, ...plain.encode(after)];
    for (const allowedSpecial of ["all", [NAME]] as const) {
      const ids = tokenizer.encode(TEXT, { allowedSpecial });
      assertEquals([...ids], expected);
    }
    const none = tokenizer.encode(TEXT, { allowedSpecial: ["<|fim|>"] });
    assertEquals(none, plain.encode(TEXT));
  }
  const special = (
    text: string,
  ) => [...pairs[1]![0].encode(text, { allowedSpecial: "all" })];
  assertEquals(special(""), []);
  assertEquals(special(`${NAME}${NAME}a`), [256, 256, 97]);
});

Deno.test("<|endoftext|> stands for no text: not when decoded, not in a stream, not in a count", () => {
  for (const [tokenizer] of pairs) {
    const end = endOfText(tokenizer)!;
    const ids = [
      end,
      ...tokenizer.encode("the"),
      end,
      ...tokenizer.encode("é"),
    ];
    assertEquals(tokenizer.decode(ids), "theé");
    const stream = tokenizer.stream();
    assertEquals(ids.map((id) => stream.push(id)).join(""), "theé");
    assertEquals(charactersIn(tokenizer, Int32Array.from(ids)), 4);
    assertEquals(tokenizer.bytesOf(end), new Uint8Array());
    assertEquals(tokenText(tokenizer, end), NAME);
    for (const use of ["decode", "characters", "bytesOf"] as const) {
      const id = end + 1;
      assertThrows(
        () => use === "decode" ? tokenizer.decode([id]) : tokenizer[use](id),
        RangeError,
        `from 0 to ${end}`,
      );
    }
  }
});

Deno.test("A tokenizer with <|endoftext|> is restored from its JSON; JSON without it gives one without it", () => {
  for (const [tokenizer, plain] of pairs) {
    for (const one of [tokenizer, plain]) {
      const json = JSON.parse(JSON.stringify(one));
      const restored = Tokenizer.fromJSON(json);
      assertEquals(restored.toJSON(), one.toJSON());
      assertEquals(endOfText(restored), endOfText(one));
    }
  }
  assertEquals(Tokenizer.bytes().toJSON(), { kind: "bytes" });
  assertThrows(
    () => Tokenizer.fromJSON({ kind: "bytes", endOfText: 1 }),
    SyntaxError,
    "endOfText is neither true nor false",
  );
});

Deno.test("tokenizer.json keeps <|endoftext|>, with every kind of tokenizer", () => {
  const ascii = Tokenizer.ascii({ endOfText: true });
  for (const tokenizer of [ascii, ...pairs.flat()]) {
    const read = readTokenizer(tokenizerJson(tokenizer));
    assertEquals(read.toJSON(), tokenizer.toJSON());
  }
  const [[chars]] = pairs as [[Tokenizer, Tokenizer]];
  const other = tokenizerJson(chars).replace(NAME, "<|end|>");
  assertThrows(() => readTokenizer(other), SyntaxError, "other added tokens");
});

Deno.test("A trained vocabulary has room for <|endoftext|> from 257 tokens on", () => {
  const sizes = (vocabSize: number) =>
    Tokenizer.bpe(TEXT, { vocabSize, endOfText: true }).vocabSize;
  assertEquals(sizes(257), 257);
  assertThrows(() => sizes(256), RangeError, "from 257");
});

Deno.test("An empty prompt begins a document where the tokenizer has <|endoftext|>", () => {
  for (const [tokenizer, plain] of pairs) {
    const end = endOfText(tokenizer)!;
    assertEquals(opening(tokenizer), "");
    assertEquals(opening(tokenizer, { documents: false }), "\n");
    assertEquals(opening(plain), "\n");
    assertEquals([...promptIds(tokenizer, "")], [end]);
    assertEquals([...promptIds(plain, "")], []);
    assertEquals(promptIds(tokenizer, "the"), plain.encode("the"));
  }
});

Deno.test("A generated text ends at <|endoftext|>, and what a stop string held back is part of it", async () => {
  for (const [tokenizer] of pairs) {
    const end = endOfText(tokenizer)!;
    let asked = 0;
    const model = {
      config: modelConfig({ vocabSize: tokenizer.vocabSize }),
      async *generate() {
        for (const id of [...tokenizer.encode("the c"), end, 1, 2]) {
          asked++;
          yield await Promise.resolve(id);
        }
      },
    };
    const parts = generateText(model, tokenizer, "", { stop: ["cat"] });
    assertEquals((await Array.fromAsync(parts)).join(""), "the c");
    assertEquals(asked, tokenizer.encode("the c").length + 1);
  }
});

Deno.test("The text of a token shows parts of characters as bytes", () => {
  const tokenizer = Tokenizer.bpe("a é 🎭".repeat(3), { vocabSize: 259 });
  const texts = (text: string) =>
    [...tokenizer.encode(text)].map((id) => tokenText(tokenizer, id));
  assertEquals(texts("z\n"), ["z", "\n"]);
  const shown = texts("é🎭€");
  assertEquals(shown.join("").replaceAll("\\x", " ").includes("�"), false);
  assertEquals(texts("€"), ["\\xE2", "\\x82", "\\xAC"]);
  const bytes = Tokenizer.bytes();
  assertEquals(tokenText(bytes, 0xc3), "\\xC3");
  assertEquals(tokenText(bytes, 0x41), "A");
  // A space and the first bytes of a character, as published vocabularies have them.
  const json = Tokenizer.bpe("ab ab", { vocabSize: 257 }).toJSON() as BpeJSON;
  const parts = Tokenizer.fromJSON({
    ...json,
    tokens: [...json.tokens, "Ġâ", "Ġâ\u0122", "éé"],
    merges: undefined,
  });
  const last = [0, 1, 2].map((i) => tokenText(parts, 257 + i));
  assertEquals(last, [" \\xE2", " \\xE2\\x80", "\\xE9\\xE9"]);
  assert(parts.vocabSize === 260);
});

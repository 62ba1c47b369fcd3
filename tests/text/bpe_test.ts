import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { readTokenizer } from "../../lib/formats/tokenizers.ts";
import {
  type SplitName,
  splitPatterns,
  Splitter,
} from "../../lib/text/bpe/split.ts";
import { BpeTrainer } from "../../lib/text/bpe/trainer.ts";
import { byteChars, printable } from "../../lib/text/bpe/vocabulary.ts";
import { charactersIn, Tokenizer } from "../../lib/text/tokenizer.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";

const TEXT =
  "It's the cat's hat, isn't it?\n\n  The CAT'LL sit: 12345 naïve 日本語 🎭🎨\r\n\t end  \n"
    .repeat(5);

/** Texts of random characters of every class, the same ones each time. */
function randomTexts(count: number): string[] {
  const chars = [..." \n\r\t'sltvredmSLaZé日12३،.!-🎭\u0085\u3000\u017f\u0301"];
  const random = new CounterRandom(7, Purpose.batch);
  let at = 0;
  return Array.from(
    { length: count },
    () =>
      Array.from(
        { length: 1 + random.below(24, 0, at++) },
        () => chars[random.below(chars.length, 0, at++)],
      ).join(""),
  );
}

/** Returns the pieces of a text by the published regular expression, in Unicode's classes. */
function piecesByPattern(name: keyof typeof splitPatterns, text: string) {
  const pattern = splitPatterns[name]
    .replace(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
      "'(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])",
    )
    .replaceAll(String.raw`\S`, String.raw`\P{White_Space}`)
    .replaceAll(String.raw`\s`, String.raw`\p{White_Space}`);
  return text.match(new RegExp(pattern, "gu")) ?? [];
}

Deno.test("Splitter cuts as the published regular expressions do, in parts of any size", () => {
  for (const name of Object.keys(splitPatterns) as SplitName[]) {
    for (const text of [TEXT, ...randomTexts(3000)]) {
      const expected = piecesByPattern(name, text);
      for (const size of [1, 3, 1000]) {
        const splitter = new Splitter(name, "encode text");
        const pieces: string[] = [];
        for (let at = 0; at < text.length; at += size) {
          pieces.push(...splitter.push(text.slice(at, at + size)));
        }
        pieces.push(...splitter.flush());
        assertEquals(pieces, expected, `${name}, parts of ${size}`);
      }
    }
  }
});

Deno.test("Tokenizer.bpe merges the most frequent pair first, and of equal counts the smaller ids", () => {
  // "ab" and "bc" occur twice each, "abc" makes them overlap: a b goes first, then ab c.
  const { merges, tokens } = new Trained("abc abc", 258);
  assertEquals(merges, [97, 98, 256, 99]);
  assertEquals(tokens.slice(256), ["ab", "abc"]);
  // aaaa holds aa three times; merged from the left.
  assertEquals(new Trained("aaaa", 257).merges, [97, 97]);
});

class Trained {
  readonly merges: readonly number[];
  readonly tokens: readonly string[];
  constructor(text: string, vocabSize: number) {
    const trainer = new BpeTrainer("gpt2");
    trainer.add(text);
    const vocabulary = trainer.train(vocabSize);
    this.merges = vocabulary.merges!;
    this.tokens = vocabulary.tokens;
  }
}

/** Returns words of random letters. */
function randomWords(letters: readonly string[], count: number): string {
  const random = new CounterRandom(3, Purpose.batch);
  let at = 0;
  const word = () =>
    Array.from(
      { length: 1 + random.below(20, 1, at++) },
      () => letters[random.below(letters.length, 1, at++)],
    ).join("");
  return Array.from({ length: count }, word).join(" ");
}

/** Returns the merges of a text, each found by a count of all pairs. */
function countedMerges(text: string, count: number): number[] {
  const words = text.match(
    /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu,
  )!
    .map((word) => [...new TextEncoder().encode(word)]);
  const merges: number[] = [];
  for (let id = 256; id < 256 + count; id++) {
    const counts = new Map<number, number>();
    for (const word of words) {
      for (let i = 1; i < word.length; i++) {
        const key = word[i - 1]! * 65_536 + word[i]!;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    const [key] = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0]!;
    const [left, right] = [Math.floor(key / 65_536), key % 65_536];
    merges.push(left, right);
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, id);
      }
    }
  }
  return merges;
}

Deno.test("Training counts pairs as a count from the beginning after each merge does", () => {
  const many = Array.from(
    { length: 2000 },
    (_, i) => String.fromCodePoint(0x4e00 + 5 * i),
  );
  const texts: readonly (readonly [text: string, merges: number])[] = [
    [TEXT + "banana bandana aaaaa ababab ".repeat(3), 64],
    ["a".repeat(100) + " aaa aaaa aaaaa", 5], // pairs that overlap themselves
    [randomWords(["a", "b"], 300), 100],
    [randomWords(["a", "é", "日", "🎭"], 300), 100],
    [randomWords(many, 1500), 40], // more pairs than the first table holds
  ];
  for (const [text, merges] of texts) {
    const { merges: found } = new Trained(text, 256 + merges);
    assertEquals(found, countedMerges(text, merges), text.slice(0, 40));
  }
});

/** Returns the ids of one piece: of all pairs that are merged, the first of the smallest rank, again and again. */
function mergedIds(piece: string, { merges, tokens }: Trained): number[] {
  const ranks = new Map<string, number>();
  for (let i = 0; i < merges.length; i += 2) {
    ranks.set(`${merges[i]} ${merges[i + 1]}`, i / 2);
  }
  const ids = [...new TextEncoder().encode(piece)];
  for (;;) {
    const found = ids.slice(1).map((id, i) =>
      ranks.get(`${ids[i]} ${id}`) ?? Infinity
    );
    const smallest = Math.min(...found);
    if (smallest === Infinity) return ids;
    const at = found.indexOf(smallest);
    ids.splice(at, 2, 256 + smallest);
    assert(tokens[256 + smallest] !== undefined);
  }
}

Deno.test("Encoding merges the smallest rank first, in pieces of any length", () => {
  for (const letters of [["a", "b"], ["a", "é", "日"]]) {
    const text = randomWords(letters, 300);
    const vocabulary = new Trained(text, 330);
    const tokenizer = Tokenizer.bpe(text, { vocabSize: 330 });
    const joined = randomWords(letters, 400).replaceAll(" ", "");
    for (let length = 1; length < 90; length++) {
      const piece = joined.slice(7 * length, 8 * length);
      assertEquals([...tokenizer.encode(piece)], mergedIds(piece, vocabulary));
    }
  }
});

Deno.test("Training forgets the rarest pieces when there are too many, and refuses a text that is too small", () => {
  const trainer = new BpeTrainer("gpt2", 3);
  trainer.add("xy xy xy xy ab cd ef gh");
  // "xy" at the beginning occurs once and is forgotten, so " x" and "xy" occur three times each.
  assertEquals(trainer.train(257).merges, [32, 120]);
  assertThrows(
    () => Tokenizer.bpe("abc abc", { vocabSize: 300 }),
    RangeError,
    "the text gives 258 tokens, not 300",
  );
  assertThrows(() => Tokenizer.bpe("abc", { vocabSize: 255 }), RangeError);
  assertThrows(() => Tokenizer.bpe("abc", { vocabSize: 65_537 }), RangeError);
});

Deno.test("Tokenizer.bpe restores any text, in pieces of any size, and from its JSON", () => {
  for (const split of ["gpt2", "cl100k"] as const) {
    const tokenizer = Tokenizer.bpe(TEXT, { vocabSize: 300, split });
    const again = Tokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)));
    for (const text of [TEXT, "a".repeat(5000), ...randomTexts(300)]) {
      const ids = [...tokenizer.encode(text)];
      assertEquals(tokenizer.decode(ids), text);
      assertEquals([...again.encode(text)], ids);
      const stream = tokenizer.stream();
      assertEquals(
        ids.map((id) => stream.push(id)).join("") + stream.flush(),
        text,
      );
      const encoder = tokenizer.encoder();
      const some: number[] = [];
      for (let at = 0; at < text.length; at += 5) {
        const tokens = encoder.push(text.slice(at, at + 5));
        assert(tokens instanceof Uint16Array);
        some.push(...tokens);
      }
      assertEquals([...some, ...encoder.flush()], ids);
      assertEquals(
        charactersIn(tokenizer, Int32Array.from(ids)),
        [...text].length,
      );
    }
  }
  assertThrows(
    () => Tokenizer.bpe(TEXT, { vocabSize: 256 }).encode("one\nab\ud83c!"),
    RangeError,
    "line 2, column 3",
  );
});

/** A tokenizer.json with the bytes, `th` and `the`, and `<|end|>`. */
function huggingFace(): Record<string, unknown> & {
  model: Record<string, unknown>;
} {
  const names = [...byteChars, "th", "the"];
  return {
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
    added_tokens: [{ id: 258, content: "<|end|>", special: true }],
    model: {
      type: "BPE",
      vocab: Object.fromEntries(names.map((name, id) => [name, id])),
      merges: ["t h", "th e"],
    },
  };
}

Deno.test("readTokenizer reads tokenizer.json, ranks and merges", () => {
  const json = readTokenizer(JSON.stringify(huggingFace()));
  assertEquals([...json.encode("the th")], [257, 32, 256]);
  assertEquals(json.specialTokens, new Map([["<|end|>", 258]]));
  assertEquals(json.decode([258, 257]), "the");
  assertEquals(json.characters(258), 0);
  assert(!json.encode("<|end|>").includes(258));
  const merges = readTokenizer("#version: 0.2\nt h\nth e\n");
  assertEquals(merges.decode(merges.encode("the é")), "the é");
  assertEquals(merges.encode("the").length, 1);
  assertEquals(merges.specialTokens, new Map([["<|endoftext|>", 258]]));
  const ranks = [...byteChars.keys()].map((byte) => String.fromCharCode(byte))
    .concat("aa", "aaa").map((token, id) => `${btoa(token)} ${id}`).join("\n");
  const tokenizer = readTokenizer(ranks, { split: "cl100k" });
  // By rank, the leftmost first, whichever two tokens make the third.
  assertEquals([...tokenizer.encode("aaaaa")], [256, 257]);
  assertThrows(() => readTokenizer(ranks), SyntaxError, "it has 258 ranks");
});

Deno.test("readTokenizer refuses files that are damaged, contradict themselves or ask for more", () => {
  const vocab = (change: Record<string, unknown>) => {
    const file = huggingFace();
    Object.assign(file.model["vocab"] as object, change);
    return file;
  };
  const model = (change: Record<string, unknown>) => {
    const file = huggingFace();
    Object.assign(file.model, change);
    return file;
  };
  const file = (change: Record<string, unknown>) => ({
    ...huggingFace(),
    ...change,
  });
  const cases: [unknown, string][] = [
    [vocab({ the: 2 ** 40 }), "without a gap, and one is 1099511627776"],
    [vocab({ the: 256 }), "id 256 is there twice"],
    [vocab({ the: -1 }), "without a gap"],
    [vocab({ the: "257" }), "without a gap"],
    [vocab({ "": 259 }), "token 259 is empty"],
    [vocab({ "日": 259 }), "not byte-level"],
    [vocab({ ["a".repeat(2000)]: 259 }), "has 2000 bytes, more than 1024"],
    [vocab({ "<|end|>": 3 }), '"<|end|>" has two ids'],
    // A circle: the whole is made of itself.
    [model({ merges: ["t h", "the "] }), "merge 1 is not two tokens"],
    [model({ merges: ["the the"] }), "makes no token"],
    [model({ merges: ["t h", "t h"] }), "is there twice"],
    [model({ merges: [["t"]] }), "merge 0 is not two tokens"],
    [model({ merges: {} }), "merges is not an array"],
    [model({ type: "Unigram" }), 'model.type is "Unigram"'],
    [model({ byte_fallback: true }), "model.byte_fallback is true"],
    [model({ dropout: 0.1 }), "model.dropout is 0.1"],
    [model({ vocab: [] }), "model.vocab is not an object"],
    [file({ normalizer: { type: "NFKC" } }), "normalizer is an object"],
    [
      file({ pre_tokenizer: { type: "ByteLevel", add_prefix_space: true } }),
      "add_prefix_space is true",
    ],
    [file({ pre_tokenizer: { type: "Whitespace" } }), 'type is "Whitespace"'],
    [file({ pre_tokenizer: null }), "pre_tokenizer is not an object"],
    [file({ added_tokens: [{ id: 258 }] }), "the added token undefined"],
    [
      file({
        added_tokens: [],
        model: { ...huggingFace().model, vocab: { a: 0 }, merges: [] },
      }),
      "is no token",
    ],
  ];
  for (const [json, reason] of cases) {
    const error = assertThrows(
      () => readTokenizer(JSON.stringify(json)),
      SyntaxError,
    );
    assertStringIncludes(error.message, reason);
  }
  // Composed text has the same ids without this step.
  readTokenizer(JSON.stringify(file({ normalizer: { type: "NFC" } })));
  const whole = JSON.stringify(huggingFace());
  for (let at = 1; at < whole.length; at += 97) {
    assertThrows(
      () => readTokenizer(whole.slice(0, at)),
      SyntaxError,
      "it is not JSON",
    );
  }
  const deep = "[".repeat(1e5);
  assertThrows(() => readTokenizer(`{"model":${deep}`), SyntaxError);
  assertThrows(
    () => readTokenizer(`{"model":${deep}${"]".repeat(1e5)}}`),
    SyntaxError,
    "model is not an object",
  );
  for (
    const [text, reason] of [
      ["", "it has 0 ranks"],
      ["IQ== 0\nIg==", "line 2 is not BASE64 RANK"],
      ["IQ= 0", "line 1 is not BASE64 RANK"],
      ["IQ== 7", "without a gap, and one is 7"],
      ["IQ== 0\nIg== 0", "id 0 is there twice"],
      [
        "#version: 0.2\nth e",
        "line 2 is not two tokens that are known by then",
      ],
      ["#version: 0.2\nt h\nt h", "line 3 makes a token that is there already"],
    ] as const
  ) {
    assertThrows(() => readTokenizer(text), SyntaxError, reason);
  }
});

Deno.test("Tokenizer.fromJSON refuses a bpe vocabulary that contradicts itself", () => {
  const json = Tokenizer.bpe(TEXT, { vocabSize: 258 }).toJSON();
  for (
    const [change, reason] of [
      [{ split: "words" }, 'split is "words"'],
      [{ tokens: "ab" }, "tokens is not an array"],
      [{ tokens: [1] }, "token 0 is not made of the characters of bytes"],
      [
        { tokens: [printable("a"), printable("a")] },
        "tokens 0 and 1 are the same",
      ],
      [{ merges: [1] }, "the last merge is half"],
      [{ merges: [1, 999] }, "a part that is no token"],
      [{ merges: ["1"] }, "merges is not an array of ids"],
      [{ special: [999] }, "special token 999"],
      [{ wholePieces: 1 }, "wholePieces is neither"],
    ] as const
  ) {
    assertThrows(
      () => Tokenizer.fromJSON({ ...json, ...change }),
      SyntaxError,
      reason,
    );
  }
});

/**
 * The ids of byte pair encoding against other people's encoders: the Rust `tokenizers` of Hugging Face,
 * `gpt-tokenizer` and `js-tiktoken`. `npm ci --prefix tests/interop` installs them.
 */

import { assert, assertEquals } from "@std/assert";
import { createRequire } from "node:module";
import { gpt2Merges } from "../../data/datasets.ts";
import { loadDataset } from "../../data/load.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { tokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { readTokenizer } from "../../lib/formats/tokenizers.ts";
import { type SplitName, splitPatterns } from "../../lib/text/bpe/split.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { interopTest } from "./programs.ts";

const folder = new URL("./node_modules/", import.meta.url);

const load = createRequire(import.meta.url);

type Encode = (texts: readonly string[]) => Promise<number[][]>;

/** Makes the encoder of the Rust `tokenizers` from the text of a `tokenizer.json`. */
function rust(json: string): Encode {
  const { Tokenizer } = load("@anush008/tokenizers");
  const tokenizer = Tokenizer.fromString(json);
  return async (texts) => {
    const encodings = await tokenizer.encodeBatch(texts, null, {
      addSpecialTokens: false,
    });
    return encodings.map((one: { getIds(): number[] }) => one.getIds());
  };
}

function gptTokenizer(name: string): Encode {
  const { encode } = load(`gpt-tokenizer/cjs/encoding/${name}`);
  const options = { disallowedSpecial: new Set() };
  return (texts) => Promise.resolve(texts.map((text) => encode(text, options)));
}

function jsTiktoken(name: string): Encode {
  const { getEncoding } = load("js-tiktoken");
  const encoder = getEncoding(name);
  return (texts) =>
    Promise.resolve(texts.map((text) => encoder.encode(text, [], [])));
}

/** Reads the ranks of a vocabulary that `gpt-tokenizer` carries. */
async function ranks(name: string): Promise<Tokenizer> {
  const url = new URL(`gpt-tokenizer/data/${name}.tiktoken`, folder);
  return readTokenizer(await Deno.readTextFile(url));
}

/** Texts that pre-tokenizers have got wrong: contractions, white space of every kind, scripts, emoji, marks. */
const torture: readonly string[] = [
  "",
  " ",
  "\n",
  "a",
  "It's they'll I'VE we'Re 'S 'ſ ’s ''s' '",
  "  two  spaces   three\t\ttabs \n\n\n lines \r\n windows\r\n\r\n ",
  "1 12 123 1234 12345678 ½ ² Ⅷ ١٢٣ १२३ 一二三 0x1F 3.14159e-10",
  "naïve café nai\u0308ve Ångström ﬁ ß İstanbul ı ΑΒΓ ж Й",
  "日本語のテキスト、中文文本。한국어 ไทย العربية עברית हिन्दी தமிழ்",
  "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪🎭\u200d\ufe0f\u20e3 ☃️",
  "\u00a0nbsp\u2003em\u3000wide\u2028line\u2029para\u200bzero\u1680ogham",
  '!!! ... --- ??? !?\n?! #$%^&*()_+{}|:"<>?~`\\/\n\n}\n);\n',
  "def f(x):\n    return x ** 2  # ok\n\n\n\tif (a&&b) {\r\n\t}\n",
  "\0\x01\x02\x7f\u0080\u009f\u00ad\ufffd\uffff\u{10ffff}\u{1f}\v\f",
  "a".repeat(200),
  " ".repeat(200) + "x" + "\n".repeat(50) + " \n".repeat(30),
  "aa".repeat(100) + "é".repeat(70) + "🎭".repeat(40) + "-".repeat(90),
  "<|endoftext|> <|im_start|>user",
  "Z\u0301\u0302\u0303a\u034f\u0489 \u0301x \u0e49 \u093f",
];

/** White space in Rust and Python, or in JavaScript, but not in both. */
const disputed = /[\u0085\ufeff]/;

/** Returns texts of random bytes: half of them read as UTF-8 with U+FFFD for what is none, half as Latin-1. */
function randomTexts(count: number): string[] {
  const random = new CounterRandom(17, Purpose.batch);
  return Array.from({ length: count }, (_, row) => {
    const length = 1 + random.below(24, row, 0);
    const bytes = Uint8Array.from(
      { length },
      (_, i) => random.below(256, row, i + 1),
    );
    return new TextDecoder(row % 2 === 0 ? "utf-8" : "latin1", {
      ignoreBOM: true,
    }).decode(bytes);
  });
}

/** Random texts of each comparison: 100,000 with LM_INTEROP=all, else fewer so that the gate stays short. */
const RANDOM_TEXTS = Deno.env.get("LM_INTEROP") === "all" ? 100_000 : 2000;

async function assertSameIds(
  tokenizer: Tokenizer,
  others: Readonly<Record<string, Encode>>,
  english: string,
): Promise<void> {
  const texts = [english, ...torture, ...randomTexts(RANDOM_TEXTS)];
  const ids = texts.map((text) => [...tokenizer.encode(text)]);
  texts.forEach((text, i) => assertEquals(tokenizer.decode(ids[i]!), text));
  for (const [name, encode] of Object.entries(others)) {
    const isJavaScript = name !== "rust";
    const chosen = [...texts.keys()].filter((i) =>
      !isJavaScript || !disputed.test(texts[i]!)
    );
    assert(chosen.length > texts.length / 2);
    const found = await encode(chosen.map((i) => texts[i]!));
    chosen.forEach((i, at) => {
      if (found[at]!.join() === ids[i]!.join()) return;
      assertEquals(ids[i], found[at], `${name}: ${JSON.stringify(texts[i])}`);
    });
  }
}

const needsText = async () => (await loadDataset("tinyshakespeare")).text;

interopTest(
  "GPT-2's vocabulary gives the ids of tokenizers, gpt-tokenizer and js-tiktoken",
  async () => {
    const tokenizer = await ranks("r50k_base");
    const english = await needsText();
    assertEquals(tokenizer.encode(english).length, 338_025);
    await assertSameIds(tokenizer, {
      rust: rust(tokenizerJson(tokenizer)),
      gptTokenizer: gptTokenizer("r50k_base"),
      jsTiktoken: jsTiktoken("r50k_base"),
    }, english);
  },
);

interopTest(
  "cl100k, in the form of Llama 3 too, gives the ids of tokenizers, gpt-tokenizer and js-tiktoken",
  async () => {
    const tokenizer = await ranks("cl100k_base");
    const english = await needsText();
    const json = tokenizerJson(tokenizer);
    await assertSameIds(tokenizer, {
      rust: rust(json),
      gptTokenizer: gptTokenizer("cl100k_base"),
      jsTiktoken: jsTiktoken("cl100k_base"),
    }, english);
    const read = readTokenizer(json);
    for (const text of [english.slice(0, 100_000), ...torture]) {
      assertEquals(read.encode(text), tokenizer.encode(text));
    }
  },
);

interopTest(
  "Names of special tokens are tokens where they are allowed, as in tokenizers and js-tiktoken",
  async () => {
    const { text } = await loadDataset(gpt2Merges);
    const gpt2 = readTokenizer(text);
    const encoder = load("js-tiktoken").getEncoding("gpt2");
    const documents =
      "One day.<|endoftext|>\n<|endoftext|><|endoftext|>It's two.";
    const all = { allowedSpecial: "all" } as const;
    const ids = [...gpt2.encode(documents, all)];
    assertEquals(ids.filter((id) => id === 50256).length, 3);
    assertEquals([...encoder.encode(documents, "all", [])], ids);
    const english = (await needsText()).slice(0, 5000);
    const made = { endOfText: true } as const;
    for (
      const tokenizer of [
        Tokenizer.chars(documents + english, made),
        Tokenizer.bytes(made),
        Tokenizer.bpe(english, { vocabSize: 300, ...made }),
        gpt2,
      ]
    ) {
      const encode = rust(tokenizerJson(tokenizer));
      const text = `${english.slice(0, 500)}${documents}`;
      assertEquals(await encode([text]), [[...tokenizer.encode(text, all)]]);
    }
  },
);

interopTest(
  "A vocabulary trained here gives the ids of tokenizers in the file that export writes, with each pre-tokenizer",
  async () => {
    const english = await needsText();
    for (const split of Object.keys(splitPatterns) as SplitName[]) {
      const tokenizer = Tokenizer.bpe(english, { vocabSize: 1024, split });
      const json = tokenizerJson(tokenizer);
      await assertSameIds(tokenizer, { rust: rust(json) }, english);
      assertEquals(readTokenizer(json).toJSON(), tokenizer.toJSON());
    }
  },
);

interopTest(
  "Characters and bytes give the ids of tokenizers in the file that export writes",
  async () => {
    const english = (await needsText()).slice(0, 20_000);
    // Their encoders find the names of special tokens in any text.
    const text = `${english}${torture.join("")}`.replace("<|endoftext|>", "");
    for (const endOfText of [false, true]) {
      for (
        const tokenizer of [
          Tokenizer.bytes({ endOfText }),
          Tokenizer.chars(text, { endOfText }),
        ]
      ) {
        const [ids] = await rust(tokenizerJson(tokenizer))([text]);
        assertEquals(ids, [...tokenizer.encode(text)]);
      }
    }
  },
);

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { loadCorpus, loadRecorded } from "../../lib/cli/text/corpus.ts";
import type {
  Corpus,
  CorpusOptions,
} from "../../lib/cli/text/corpus_tokens.ts";
import { readSeparator } from "../../lib/cli/text/documents.ts";
import { endOfText } from "../../lib/text/special.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { SMALL, Workplace } from "./process.ts";

const { signal } = new AbortController();

/** Reads a text, in pieces of a few sizes, and returns it with `|` in place of `<|endoftext|>`. */
async function read(
  path: string | readonly string[],
  options: Partial<CorpusOptions> = {},
): Promise<{ text: string; corpus: Corpus }> {
  const texts = new Set<string>();
  let corpus: Corpus | undefined;
  for (const pieceSize of [1, 3, 1 << 20]) {
    corpus = await loadCorpus(path, {
      ...{ tokenizer: "chars", signal, pieceSize },
      ...options,
    });
    const { tokenizer, tokens } = corpus;
    const end = endOfText(tokenizer);
    texts.add(
      Array.from(tokens, (id) => id === end ? "|" : tokenizer.decode([id]))
        .join(""),
    );
  }
  assertEquals(texts.size, 1);
  return { text: [...texts][0]!, corpus: corpus! };
}

/** A place with a folder of two texts and an empty one, a file of JSON lines and a file of lines. */
async function library(): Promise<Workplace> {
  const here = await Workplace.create();
  await Deno.mkdir(here.file("folder", "sub"), { recursive: true });
  await here.write("folder/b.txt", "one\r\n");
  await here.write("folder/empty.txt", "");
  await here.write("folder/sub/a.md", "two");
  const lines = [
    `{"text": "caf\\u00e9\\r\\nau lait", "id": 1}`,
    "",
    `{"text": ""}`,
    `{"id": [[]], "text": "🎭"}`,
  ];
  await here.write("lines.jsonl", lines.join("\n"));
  await here.write("names.txt", "Ada\r\nAlan\r\n\r\nGrace\r\n");
  await here.write("stories.txt", "Once.<|endoftext|>Twice.<|endoftext|>");
  return here;
}

Deno.test("The files of a folder, JSON lines and separated texts are documents, each followed by <|endoftext|>", async () => {
  await using here = await library();
  assertEquals((await read(here.file("folder"))).text, "one\n|two|");
  assertEquals(
    (await read(here.file("lines.jsonl"))).text,
    "café\nau lait|🎭|",
  );
  const names = (separator: string) =>
    read(here.file("names.txt"), { documents: readSeparator(separator) });
  assertEquals((await names("\\n")).text, "Ada|Alan|Grace|");
  assertEquals((await names("la")).text, "Ada\nA|n\n\nGrace\n|");
  assertEquals((await names("\\r\\n\\r\\n")).text, "Ada\nAlan|Grace\n|");
  const stories = { documents: "<|endoftext|>" };
  assertEquals(
    (await read(here.file("stories.txt"), stories)).text,
    "Once.|Twice.|",
  );
  // Where one part has documents, the other files are some.
  assertEquals(
    (await read([here.file("names.txt"), here.file("lines.jsonl")])).text,
    "Ada\nAlan\n\nGrace\n|café\nau lait|🎭|",
  );
  // JSON lines need no separator.
  const paths = [here.file("lines.jsonl"), here.file("names.txt")];
  assertEquals(
    (await read(paths, { documents: "\n" })).text,
    "café\nau lait|🎭|Ada|Alan|Grace|",
  );
});

Deno.test("A text without documents is read as before, also a folder of an older run", async () => {
  await using here = await library();
  const plain = await read(here.file("names.txt"));
  assertEquals(plain.text, "Ada\nAlan\n\nGrace\n");
  assertEquals(endOfText(plain.corpus.tokenizer), undefined);
  assertEquals(plain.corpus.record.documents, undefined);
  const { corpus } = await read(here.file("folder"));
  assertEquals(corpus.record.documents, true);
  const { documents: _, ...older } = corpus.record;
  const reading = { tokenizer: corpus.tokenizer, signal } as const;
  const read1 = await loadRecorded(older, reading);
  assertEquals(corpus.tokenizer.decode(read1.tokens), "one\ntwo");
  assertEquals(read1.tokens.length, "one\ntwo".length);
  const again = await loadRecorded(corpus.record, reading);
  assertEquals(again.tokens, corpus.tokens);
  // So is a file of JSON lines, which was a text like any other.
  const whole = await read(here.file("lines.jsonl"), { documents: false });
  assertEquals(whole.text, await Deno.readTextFile(here.file("lines.jsonl")));
});

Deno.test("Every tokenizer made for documents has <|endoftext|>; a tokenizer of a run is left as it is", async () => {
  await using here = await library();
  const path = here.file("folder");
  for (const tokenizer of ["ascii", "bytes", "bpe:257", "chars"] as const) {
    const { corpus } = await read(path, { tokenizer });
    const end = endOfText(corpus.tokenizer);
    assertEquals(end, corpus.tokenizer.vocabSize - 1);
    assertEquals([...corpus.tokens].filter((id) => id === end).length, 2);
  }
  const tokenizer = Tokenizer.bytes();
  const added = await read(path, { tokenizer, mayAddEnd: true });
  assertEquals(added.text, "one\n|two|");
  const same = await read(path, { tokenizer });
  assertEquals(same.corpus.tokenizer, tokenizer);
  assertEquals(same.text, "one\ntwo");
});

Deno.test("A line that is no document is refused by its number", async () => {
  await using here = await Workplace.create();
  const cases: [line: string, reason: string][] = [
    ["{", "it is not JSON"],
    ["12", "it has no text"],
    ["null", "it has no text"],
    [`{"Text": "a"}`, "it has no text"],
    [`{"text": 1}`, "it has no text"],
    [`{"text": "\\ud800"}`, "its text has half a surrogate pair"],
    ["[".repeat(1e5), "it is not JSON"],
    [`${"[".repeat(1e5)}${"]".repeat(1e5)}`, "it has no text"],
  ];
  for (const [line, reason] of cases) {
    await here.write("bad.jsonl", `{"text": "a"}\n\n${line}\n`);
    const path = here.file("bad.jsonl");
    const options = { tokenizer: "chars", signal } as const;
    const { message } = await assertRejects(
      () => loadCorpus(path, options),
      Error,
    );
    assertStringIncludes(message, `Cannot read line 3 of ${path}: ${reason}`);
  }
  await here.write("é.jsonl", `{"text": "a"}\n{"text": "b\\né"}\n`);
  await assertRejects(
    () => loadCorpus(here.file("é.jsonl"), { tokenizer: "ascii", signal }),
    RangeError,
    "line 2 of " + here.file("é.jsonl") +
      ': character "é" (U+00E9) at line 2, column 1',
  );
});

Deno.test("A run on documents samples documents, resumes, and is evaluated as it was trained", async () => {
  await using here = await Workplace.create();
  const names = ["Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald"];
  await here.write("names.txt", names.join("\n").concat("\n").repeat(20));
  const train = (out: string, ...more: string[]) => [
    "train",
    ...SMALL.map((word) => word === "text.txt" ? "names.txt" : word),
    ...["--document-separator", "\\n", "--tokenizer", "chars"],
    ...["--out", out, ...more],
  ];
  const whole = await here.run(train("whole", "--steps", "40"));
  assertEquals(whole.code, 0, whole.stderr);
  assertStringIncludes(whole.stderr, "(chars, documents)");
  await here.run(train("part", "--steps", "20"));
  // Its checkpoint, its record and its text have to agree.
  const resume = ["train", "--resume", "part", "--steps", "40"];
  const resumed = await here.run([...resume, "--device", "reference"]);
  assertEquals(resumed.code, 0, resumed.stderr);
  const config = JSON.parse(
    await Deno.readTextFile(here.file("whole/config.json")),
  );
  assertEquals(config.data.documents, "\n");
  const sample = ["sample", "whole", "--tokens", "200", "--seed", "1"];
  const many = [...sample, "--num-samples", "9", "--device", "reference"];
  const { stdout, code } = await here.run([...many, "--json"]);
  assertEquals(code, 0);
  const texts = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert(texts.every(({ prompt }) => prompt === ""));
  assert(texts.some(({ text }) => text.length < 200));
  assert(!stdout.includes("endoftext"));
  const evaluated = await here.run(
    ["eval", "whole", "--json", "--device", "reference"],
  );
  const { tokens, ofTokens, bitsPerChar, valLoss } = JSON.parse(
    evaluated.stdout,
  );
  const other = ["eval", "whole", "--document-separator", " "];
  const refused = await here.run(other);
  assertEquals(refused.code, 2);
  assertStringIncludes(refused.stderr, "--document-separator without --data");
  // 31 letters and 6 ends of documents, twenty times; a tenth validates.
  assertEquals([tokens, ofTokens], [73, 73]);
  assert(bitsPerChar > valLoss / Math.LN2, "an end is no character");
});

Deno.test("A text of documents for a model that has no <|endoftext|> is read with a note", async () => {
  await using here = await library();
  await here.run(["train", ...SMALL, "--tokenizer", "bytes", "--out", "run"]);
  const args = ["eval", "run", "--device", "reference", "--data"];
  const { code, stderr } = await here.run([...args, "lines.jsonl"]);
  assertEquals(code, 0, stderr);
  assertStringIncludes(
    stderr,
    "note: the tokenizer has no <|endoftext|>: the 2 documents of",
  );
});

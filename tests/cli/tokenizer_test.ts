import { assertEquals, assertStringIncludes } from "@std/assert";
import { loadCorpus } from "../../lib/cli/text/corpus.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { SMALL, TEXT, Workplace } from "./process.ts";

Deno.test("train --tokenizer learns byte pairs or reads a file, and the checkpoint keeps them", async () => {
  await using here = await Workplace.create();
  await here.write("merges.txt", "#version: 0.2\nt h\nth e\n");
  for (
    const [choice, vocabSize] of [["bpe:259", 259], [
      "./merges.txt",
      259,
    ]] as const
  ) {
    const args = ["--tokenizer", choice, "--out", `run${choice.length}`];
    const { code, stderr } = await here.run(["train", ...SMALL, ...args]);
    assertEquals(code, 0, stderr);
    const path = here.file(`run${choice.length}/checkpoint.safetensors`);
    const { tokenizer } = decodeCheckpoint(await Deno.readFile(path));
    assertEquals([tokenizer?.kind, tokenizer?.vocabSize], ["bpe", vocabSize]);
    assertEquals(tokenizer!.decode(tokenizer!.encode(TEXT)), TEXT);
  }
  for (
    const [choice, message] of [
      ["char", "did you mean chars?"],
      ["bpe:12", '"bpe:12" is not bpe: and a number from 256 to 65536'],
      ["bpe:300:gpt3", "is none of gpt2, cl100k, qwen2, smollm, llama3"],
      ["chars:none.txt", "Cannot read none.txt: there is no such file"],
      ["./text.txt", "line 1 is not BASE64 RANK"],
      ["./none.json", "there is no such file"],
    ] as const
  ) {
    const { code, stderr } = await here.run([
      "train",
      ...SMALL,
      "--tokenizer",
      choice,
    ]);
    assertEquals(code > 0, true);
    assertStringIncludes(stderr, message);
  }
});

Deno.test("bpe:N:NAME uses the pre-tokenizer NAME", async () => {
  await using here = await Workplace.create();
  for (
    const [choice, split] of [
      ["bpe:258", "gpt2"],
      ["bpe:258:cl100k", "cl100k"],
      ["bpe:258:llama3", "cl100k"],
    ] as const
  ) {
    const path = here.file("text.txt");
    const { signal } = new AbortController();
    const { tokenizer } = await loadCorpus(path, { tokenizer: choice, signal });
    assertEquals(
      tokenizer.toJSON(),
      Tokenizer.bpe(TEXT, { vocabSize: 258, split }).toJSON(),
    );
  }
});

Deno.test("A model of characters reads another text if it was trained with its characters, else it says which it lacks", async () => {
  await using here = await Workplace.create();
  await here.write("other.txt", "Ärger über Öl und Maß: 12 🎭.\n".repeat(9));
  const train = (out: string, ...more: string[]) =>
    here.run(["train", ...SMALL, ...more, "--out", out]);
  await train("own", "--tokenizer", "chars");
  await train("file", "--tokenizer", "chars:other.txt");
  const alphabet = [..."Ärger über Öl und Maß: 12 🎭.\n"].reverse().join("");
  await train("alphabet", "--tokenizer", "chars", "--alphabet", alphabet);
  const saved = async (run: string) =>
    decodeCheckpoint(
      await Deno.readFile(here.file(run, "checkpoint.safetensors")),
    ).tokenizer!.toJSON();
  const both = Tokenizer.chars(TEXT + alphabet).toJSON();
  assertEquals(await saved("file"), both);
  assertEquals(await saved("alphabet"), both);
  const evaluate = (run: string) =>
    here.run(["eval", run, "--data", "other.txt", "--device", "reference"]);
  assertEquals((await evaluate("file")).code, 0);
  const fine = ["--data", "other.txt", "--steps", "2", "--batch-size", "2"];
  const device = ["--device", "reference", "--out", "fine"];
  const init = (run: string) =>
    here.run(["train", "--init", run, ...fine, ...device]);
  assertEquals((await init("alphabet")).code, 0);
  await Deno.remove(here.file("fine"), { recursive: true });
  for (const refused of [await evaluate("own"), await init("own")]) {
    assertEquals(refused.code, 1);
    const missing = 'character "Ä" (U+00C4) at line 1, column 1';
    assertStringIncludes(refused.stderr, missing);
    assertStringIncludes(refused.stderr, "--alphabet, --tokenizer chars:FILE");
  }
  const other = ["--alphabet", "x", "--tokenizer", "bytes"];
  const { code, stderr } = await train("no", ...other);
  assertEquals(code, 2);
  assertStringIncludes(stderr, "an alphabet is for --tokenizer chars");
});

import { assertEquals, assertStringIncludes } from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
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
      ["bpe:12", "is not bpe: and a number from 256 to 65536"],
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

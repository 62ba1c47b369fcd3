/** GGUF files as such; `tests/interop/gguf_test.ts` runs them. */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import { exportCheckpoint } from "../../lib/export/exports.ts";
import { ggufPieces, type GgufValue } from "../../lib/formats/gguf_file.ts";
import { endOf, ggufTokenizer } from "../../lib/formats/gguf_tokenizer.ts";
import { Model } from "../../lib/model/model.ts";
import { isRefusal } from "../../lib/refusal.ts";
import { bytesOf } from "../fixtures/exported_files.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";

// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, by hand.
Deno.test("A GGUF file has the layout of its specification", () => {
  const pieces = ggufPieces(
    new Map<string, GgufValue>([
      ["s", "é"],
      ["n", 7],
      ["f", { float: 1.5 }],
      ["b", true],
      ["t", ["x"]],
      ["i", Int32Array.of(-1, 2)],
    ]),
    [
      {
        ...{ name: "w", shape: [1, 3], type: "f32" },
        data: () => Float32Array.of(1, 2, 3),
      },
      { name: "h", shape: [2], type: "f16", data: () => Uint16Array.of(1, 2) },
    ],
  );
  const bytes = [...pieces].map((piece) => piece.toHex()).join("");
  const u64 = (n: number) => n.toString(16).padStart(2, "0") + "00".repeat(7);
  const u32 = (n: number) => n.toString(16).padStart(2, "0") + "00".repeat(3);
  const name = (letter: string) => u64(1) + letter.charCodeAt(0).toString(16);
  const header = "47475546" + u32(3) + u64(2) + u64(6) +
    name("s") + u32(8) + u64(2) + "c3a9" +
    name("n") + u32(4) + u32(7) +
    name("f") + u32(6) + "0000c03f" +
    name("b") + u32(7) + "01" +
    name("t") + u32(9) + u32(8) + u64(1) + u64(1) + "78" +
    name("i") + u32(9) + u32(5) + u64(2) + "ffffffff" + u32(2) +
    name("w") + u32(2) + u64(3) + u64(1) + u32(0) + u64(0) +
    name("h") + u32(1) + u64(2) + u32(1) + u64(32);
  const padded = header.padEnd(Math.ceil(header.length / 64) * 64, "0");
  const first = "0000803f0000004000004040" + "00".repeat(20);
  const second = "01000200" + "00".repeat(28);
  assertEquals(bytes, padded + first + second);
});

Deno.test("Characters become tokens of bytes, with the merges that make them", () => {
  const tokenizer = Tokenizer.chars("a é本木\n");
  assertEquals(endOf(tokenizer), undefined);
  const values = ggufTokenizer(tokenizer, 6);
  // é is C3 A9, 本 E6 9C AC, 木 E6 9C A8; a space and a line end are written as Ġ and Ċ.
  assertEquals(values.get("tokenizer.ggml.tokens"), [
    ...["Ċ", "Ġ", "a", "Ã©", "æľ¨", "æľ¬"],
    "<|endoftext|>",
  ]);
  assertEquals(values.get("tokenizer.ggml.merges"), [
    "Ã ©",
    "æ ľ",
    "æľ ¨",
    "æľ ¬",
  ]);
  const types = Int32Array.of(1, 1, 1, 1, 1, 1, 3);
  assertEquals(values.get("tokenizer.ggml.token_type"), types);
  assertEquals(values.get("tokenizer.ggml.eos_token_id"), 6);
});

const llama: ModelOptions = {
  ...{ vocabSize: 128, nLayer: 1, nHead: 1, nEmbd: 4, position: "rope" },
  ...{ norm: "rmsnorm", mlp: "swiglu", bias: false, headBias: false },
};

Deno.test("What llama.cpp cannot hold is refused by field, with a preset that it can", () => {
  const cases: [Partial<ModelOptions>, string, string[]][] = [
    [{ ...llama, mask: "zeroed" }, 'mask is "zeroed", not "causal"', ["mask"]],
    [
      { ...llama, logitSoftcap: 30, qkNorm: true },
      "logitSoftcap is 30, not null",
      ["logitSoftcap"],
    ],
    [{ ...llama, residual: false }, "residual is false", ["residual"]],
    [
      { position: "learned", mlp: "gelu", headBias: false },
      'gpt2 cannot hold the model: mlp is "gelu", not "geluTanh"',
      ["mlp"],
    ],
    [
      { ...llama, qkNorm: true, headBias: true },
      "qwen2 cannot hold the model: qkNorm is true, not false",
      ["qkNorm"],
    ],
  ];
  for (const [options, reason, fields] of cases) {
    const config = modelConfig({ ...options, vocabSize: 128 });
    const tokenizer = Tokenizer.ascii();
    const error = assertThrows(
      () => exportCheckpoint("gguf", { config, tensors: new Map(), tokenizer }),
      RangeError,
      reason,
    );
    assertEquals(isRefusal(error) && error.fields, fields);
    assertEquals(
      isRefusal(error) && error.hint,
      "models of the preset portable can be exported",
    );
  }
});

Deno.test("A GGUF file of characters counts the token that ends texts", async () => {
  const config = modelConfig({ ...llama, vocabSize: 3 });
  await using model = await Model.create(config, { device: "reference" });
  const files = exportCheckpoint("gguf", {
    config,
    tensors: await model.parameters(),
    tokenizer: Tokenizer.chars("abc"),
  });
  const text = new TextDecoder("latin1").decode(
    bytesOf(files).get("model.gguf")!,
  );
  // The name, the type of an unsigned integer (4), and 4.
  const four = "\x04\0\0\0".repeat(2);
  assertStringIncludes(text, `qwen2.vocab_size${four}`);
});

Deno.test("A model whose texts cannot end in llama.cpp is refused", () => {
  const tokenizer = Tokenizer.chars("abc");
  const options = { ...llama, vocabSize: 3, qkNorm: true };
  const checkpoint = { config: modelConfig(options), tensors: new Map() };
  assertThrows(
    () => exportCheckpoint("gguf", { ...checkpoint, tokenizer }),
    RangeError,
    "none of its characters can end a text",
  );
  assertThrows(
    () => exportCheckpoint("gguf", checkpoint),
    RangeError,
    "the model has no tokenizer",
  );
});

/** ONNX files as such; `tests/interop/onnx_test.ts` runs them. */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { variant } from "../../lib/checks/variants.ts";
import { modelConfig } from "../../lib/config/model.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { Model } from "../../lib/model/model.ts";
import {
  exportCheckpoint,
  type ExportOptions,
} from "../../lib/export/exports.ts";
import { OnnxGraph } from "../../lib/export/onnx_file.ts";
import { bytesOf } from "../fixtures/exported_files.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";

async function checkpointOf(name: string): Promise<Checkpoint> {
  const { config } = variant(name);
  await using model = await Model.create(config, { device: "reference" });
  const tokenizer = Tokenizer.chars("abcdefg");
  return { config, tensors: await model.parameters(), tokenizer };
}

function encode(
  checkpoint: Checkpoint,
  options?: ExportOptions,
): Uint8Array {
  const files = bytesOf(exportCheckpoint("onnx", checkpoint, options));
  return files.get("model.onnx")!;
}

Deno.test("An ONNX file names its producer, its format and its tokenizer", async () => {
  const checkpoint = await checkpointOf("position rope");
  const bytes = encode(checkpoint);
  // ir_version (1) 8; producer_name (2) "lm".
  assertEquals(bytes.subarray(0, 6).toHex(), "080812026c6d");
  const text = new TextDecoder("latin1").decode(bytes);
  for (const name of ["input_ids", "logits", "batch", "sequence", "h.1.mlp"]) {
    assertStringIncludes(text, name);
  }
  assertStringIncludes(text, JSON.stringify(checkpoint.tokenizer));
  assertStringIncludes(text, JSON.stringify(checkpoint.config));
});

Deno.test("An ONNX file with parameters of 16 bits is half as long", async () => {
  const config = modelConfig({ vocabSize: 65, nLayer: 1 });
  await using model = await Model.create(config, { device: "reference" });
  const checkpoint = { config, tensors: await model.parameters() };
  const [wide, narrow] = (["f32", "f16"] as const)
    .map((dtype) => encode(checkpoint, { dtype }).length);
  const saved = wide! - narrow!;
  assertEquals(Math.round(100 * saved / (2 * model.parameterCount)), 100);
});

Deno.test("A checkpoint without a parameter is refused as ONNX", async () => {
  const { config, tensors } = await checkpointOf("the defaults");
  const some = new Map(tensors);
  some.delete("h.1.ln_2.bias");
  const error = assertThrows(
    () => encode({ config, tensors: some }),
    RangeError,
  );
  assertStringIncludes(error.message, "h.1.ln_2.bias [8] is missing");
});

Deno.test("An ONNX file above 2 GiB is refused with its length", () => {
  const graph = new OnnxGraph();
  const data = new Float32Array(2 ** 27); // 512 MiB that nothing touches
  for (const name of "abcd") graph.constant(name, [data.length], data);
  const value = { name: "x", shape: ["batch"] };
  assertThrows(
    () => graph.encode({ input: value, output: value, metadata: {} }),
    RangeError,
    "the limit of its format is 2147483647",
  );
});

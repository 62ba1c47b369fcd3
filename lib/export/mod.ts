/**
 * Writes models for other programs: Hugging Face's transformers, llama.cpp, onnxruntime.
 *
 * @example
 * ```ts
 * import { Model } from "@lm/core";
 * import { exportCheckpoint } from "@lm/core/export";
 * import { decodeCheckpoint } from "@lm/core/formats";
 * import { assertEquals } from "@std/assert";
 *
 * await using model = await Model.create(
 *   { vocabSize: 65, blockSize: 16, nLayer: 1, nHead: 1, nEmbd: 8 },
 *   { device: "reference" },
 * );
 * const [file] = exportCheckpoint("onnx", decodeCheckpoint(await model.save()));
 * assertEquals(file!.name, "model.onnx");
 * for (const bytes of file!.pieces()) assertEquals(bytes instanceof Uint8Array, true); // write them one after another
 * ```
 *
 * @module
 */

export {
  exportCheckpoint,
  type ExportFormat,
  type ExportFormatName,
  exportFormats,
  type ExportOptions,
} from "./exports.ts";

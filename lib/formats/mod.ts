/**
 * Reads and writes checkpoints, which are safetensors files, other files of that format, and
 * models of other programs, as bytes.
 *
 * @example
 * ```ts
 * import { Model } from "@lm/core";
 * import { decodeCheckpoint } from "@lm/core/formats";
 * import { assertEquals } from "@std/assert";
 *
 * const config = { vocabSize: 5, blockSize: 4, nLayer: 1, nHead: 1, nEmbd: 4 };
 * await using model = await Model.create(config, { device: "reference" });
 * const { config: { nEmbd }, tensors } = decodeCheckpoint(await model.save());
 * assertEquals(nEmbd, 4);
 * assertEquals(tensors.get("wte.weight")?.shape, [5, 4]);
 * ```
 *
 * @module
 */

export {
  type Checkpoint,
  type CheckpointFile,
  DamagedCheckpointError,
  decodeCheckpoint,
  encodeCheckpoint,
  openCheckpoint,
  type TrainingState,
} from "./checkpoint.ts";
export type { Architecture, Demand, Demands } from "./architectures.ts";
export type { ExportedFile, ExportSettings } from "./exported.ts";
export type { FloatType } from "./floats.ts";
export { importGguf } from "./gguf_import.ts";
export { importHf, type ImportOptions } from "./hf.ts";
export type { FolderFiles, Imported } from "./imported.ts";
export { importNanogpt, type NanogptOptions } from "./nanogpt_import.ts";
export {
  type ByteSource,
  decodeSafetensors,
  type Dtype,
  type DtypeArrays,
  encodeSafetensors,
  type Safetensors,
  type TensorData,
  type TensorInfo,
} from "./safetensors.ts";
export { readTokenizer, type ReadTokenizerOptions } from "./tokenizers.ts";

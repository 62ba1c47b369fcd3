/**
 * The formats that other programs read. Each format is a row: its description, the architectures and float types
 * that it can hold, and a pure function from a checkpoint to the bytes of its files.
 */

import {
  anyModel,
  type Architecture,
  fittingArchitecture,
  gpt2,
  llama,
  nanogpt,
  qwen2,
  qwen3,
} from "../formats/architectures.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { ExportedFile, ExportSettings } from "../formats/exported.ts";
import type { FloatType } from "../formats/floats.ts";
import { ggufArchitectures, ggufFiles } from "../formats/gguf.ts";
import { hfFiles } from "../formats/hf.ts";
import { nanogptFiles } from "../formats/nanogpt.ts";
import { refusal } from "../refusal.ts";
import { onnxFiles } from "./onnx.ts";

/** A format of other programs. */
export interface ExportFormat {
  /** Description, with the programs that read the format. */
  readonly about: string;
  /** A folder of files, or one file. */
  readonly kind: "folder" | "file";
  /** True if the files hold the training, too: the optimizer's moments and the step. */
  readonly hasTraining: boolean;
  /** Float types of the weights. */
  readonly dtypes: readonly FloatType[];
  /** Architectures that it can hold; the first that fits is written. */
  readonly architectures: readonly Architecture[];
  /** Returns the files of a model that fits an architecture. */
  readonly files: (
    checkpoint: Checkpoint,
    settings: ExportSettings,
  ) => readonly ExportedFile[];
}

/** Name of a format. */
export type ExportFormatName =
  | "hf"
  | "nanogpt"
  | "nanogpt-torch1"
  | "gguf"
  | "onnx";

/** The formats, by name. */
export const exportFormats: Readonly<Record<ExportFormatName, ExportFormat>> = {
  hf: {
    about: "a folder for Hugging Face's transformers",
    kind: "folder",
    hasTraining: false,
    dtypes: ["f32", "f16", "bf16"],
    architectures: [llama, qwen2, qwen3, gpt2],
    files: hfFiles,
  },
  gguf: {
    about: "a file for llama.cpp",
    kind: "file",
    hasTraining: false,
    dtypes: ["f32", "f16", "bf16"],
    architectures: ggufArchitectures,
    files: ggufFiles,
  },
  onnx: {
    about: "a file for onnxruntime",
    kind: "file",
    hasTraining: false,
    dtypes: ["f32", "f16"],
    architectures: [anyModel("any")],
    files: onnxFiles,
  },
  nanogpt: {
    about: "a folder for nanoGPT, with the training",
    kind: "folder",
    hasTraining: true,
    dtypes: ["f32"],
    architectures: [nanogpt],
    files: (checkpoint) => nanogptFiles(checkpoint, { masks: false }),
  },
  "nanogpt-torch1": {
    about: "the same for PyTorch 1",
    kind: "folder",
    hasTraining: true,
    dtypes: ["f32"],
    architectures: [nanogpt],
    files: (checkpoint) => nanogptFiles(checkpoint, { masks: true }),
  },
};

/** Options of {@linkcode exportCheckpoint}. */
export interface ExportOptions {
  /** Float type of the weights; `f32` by default. */
  readonly dtype?: FloatType | undefined;
}

/**
 * Returns the files in which another program reads a model.
 *
 * @throws {RangeError} if the format cannot hold the model: names the fields, and the presets that fit
 */
export function exportCheckpoint(
  name: ExportFormatName,
  checkpoint: Checkpoint,
  { dtype = "f32" }: ExportOptions = {},
): readonly ExportedFile[] {
  const { architectures, dtypes, files } = exportFormats[name];
  if (!dtypes.includes(dtype)) {
    throw refusal(
      RangeError,
      `export to ${name}`,
      `its weights are ${dtypes.join(" or ")}, not ${dtype}`,
      { fields: ["dtype"] },
    );
  }
  const { config } = checkpoint;
  const architecture = fittingArchitecture(name, architectures, config);
  return files(checkpoint, { architecture, dtype });
}

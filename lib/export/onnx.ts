/**
 * Models as ONNX files, which onnxruntime runs: the network's dispatches in ONNX operators (`onnx_kernels.ts`). They come
 * from `network.ts`, so the file computes whatever a configuration says. `onnx_file.ts` has the format of the file.
 */

import type { KernelName } from "../../kernels/vocabulary.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { ExportedFile, ExportSettings } from "../formats/exported.ts";
import { floatsOf, type FloatType, narrowed } from "../formats/floats.ts";
import type { TensorData } from "../formats/safetensors.ts";
import { forward } from "../graph/autodiff.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import { network } from "../model/network.ts";
import { positionTables } from "../model/positions.ts";
import { FLOAT, OnnxGraph } from "./onnx_file.ts";
import {
  type KernelWriter,
  onnxKernels,
  shapeOf,
  TOKENS,
} from "./onnx_kernels.ts";
import { refuser } from "../refusal.ts";

const cannotExport = refuser(RangeError, "export to onnx");

const LOGITS = "logits";

/**
 * Returns the file that onnxruntime loads (opset 17). It computes the logits after every token: its input is `input_ids`,
 * (B, T) of int64, its output `logits`, (B, T, V) of float32, for any B and for T up to `blockSize`. A runtime widens
 * parameters of 16 bits when it loads the file. Its metadata `config` and `tokenizer` are the model's, as JSON.
 *
 * @throws {RangeError} if a parameter is missing, or the file would be longer than 2 GiB
 */
export function onnxFiles(
  checkpoint: Checkpoint,
  { dtype }: ExportSettings,
): ExportedFile[] {
  const { config, tensors, tokenizer } = checkpoint;
  const graph = new Graph();
  const tokens = graph.input(TOKENS, [1, 1], "i32");
  const logits = network(config, { graph, tokens });
  const file = new OnnxGraph();
  const tables = positionTables(config);
  const names = new Map<Tensor, string>([[tokens, TOKENS]]);
  for (const tensor of graph.tensors) {
    const { name, shape, storage: { kind } } = tensor;
    if (kind === "store") {
      const values = new Float32Array(tables.get(name)!);
      names.set(tensor, file.constant(name, shape, values));
    } else if (kind === "parameter") {
      const values = parameterOf(tensor, tensors);
      names.set(tensor, parameter(file, tensor, { values, dtype }));
    }
  }
  for (const { kernel, inputs, outputs, dims, label } of forward(graph)) {
    file.part = label;
    const write = onnxKernels[kernel] as KernelWriter<KernelName>;
    const results = write(file, inputs.map((input) => names.get(input)!), dims);
    results.forEach((name, i) => names.set(outputs[i]!, name));
  }
  const shape = shapeOf(file, config.vocabSize);
  file.output(LOGITS, file.node("Reshape", [names.get(logits)!, shape]));
  const pieces = file.encode({
    input: { name: TOKENS, shape: ["batch", "sequence"] },
    output: { name: LOGITS, shape: ["batch", "sequence", config.vocabSize] },
    metadata: {
      config: JSON.stringify(config),
      ...(tokenizer && { tokenizer: JSON.stringify(tokenizer.toJSON()) }),
    },
  });
  return [{ name: "model.onnx", pieces: () => pieces }];
}

/** Adds a parameter to a file, and returns the name of its 32-bit numbers. */
function parameter(
  file: OnnxGraph,
  { name, shape }: Tensor,
  { values, dtype }: {
    readonly values: Float32Array;
    readonly dtype: FloatType;
  },
): string {
  if (dtype !== "f16") return file.constant(name, shape, values);
  const bits = narrowed(name, values, dtype);
  const stored = file.constant(`${name}.${dtype}`, shape, bits);
  return file.node("Cast", [stored], { to: FLOAT });
}

/** Returns the numbers of a parameter. */
function parameterOf(
  { name, shape }: Tensor,
  tensors: ReadonlyMap<string, TensorData>,
): Float32Array {
  const tensor = tensors.get(name);
  if (tensor?.shape.join() === shape.join()) return floatsOf(name, tensor!);
  const found = tensor === undefined ? "missing" : `[${tensor.shape}]`;
  throw cannotExport(`the parameter ${name} [${shape}] is ${found}`);
}

/**
 * Export to ONNX: writes the network's dispatches as ONNX operators (`kernels.ts`). They come from `network.ts`, so
 * the file computes whatever a configuration says. `file.ts` has the format of the file.
 */

import type { KernelName } from "../../kernels/vocabulary.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { FLOAT, OnnxGraph } from "./file.ts";
import { forward } from "../graph/autodiff.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import { network } from "../model/network.ts";
import { type KernelWriter, onnxKernels, shapeOf, TOKENS } from "./kernels.ts";
import { positionTables } from "../model/positions.ts";
import type { TensorData } from "../formats/safetensors.ts";
import { refusal } from "../refusal.ts";

/** Options of {@linkcode encodeOnnx}. */
export interface OnnxOptions {
  /** Element type of the parameters in the file; `f32` by default. A runtime widens `f16` when it loads the file. */
  readonly dtype?: "f32" | "f16" | undefined;
}

const LOGITS = "logits";

/**
 * Returns a checkpoint as an ONNX file (opset 17), in pieces. The file computes the logits after every token: its input is
 * `input_ids`, (B, T) of int64, its output `logits`, (B, T, V) of float32, for any B and for T up to `blockSize`. Its
 * metadata `config` and `tokenizer` are those of the checkpoint, as JSON.
 *
 * @throws {RangeError} if a parameter is missing, or the file would be longer than 2 GiB
 */
export function encodeOnnx(
  checkpoint: Checkpoint,
  { dtype = "f32" }: OnnxOptions = {},
): Uint8Array[] {
  const { config, tensors, tokenizer } = checkpoint;
  const graph = new Graph();
  const tokens = graph.input(TOKENS, [1, 1], "i32");
  const logits = network(config, { graph, tokens });
  const file = new OnnxGraph();
  const tables = positionTables(config);
  const names = new Map<Tensor, string>([[tokens, TOKENS]]);
  for (const tensor of graph.tensors) {
    const { name, shape, storage: { kind } } = tensor;
    if (kind !== "parameter" && kind !== "store") continue;
    const values = kind === "store"
      ? new Float32Array(tables.get(name)!)
      : parameterOf(tensor, tensors);
    if (kind === "parameter" && dtype === "f16") {
      const half = file.constant(
        `${name}.f16`,
        shape,
        new Float16Array(values),
      );
      names.set(tensor, file.node("Cast", [half], { to: FLOAT }));
    } else names.set(tensor, file.constant(name, shape, values));
  }
  for (const { kernel, inputs, outputs, dims, label } of forward(graph)) {
    file.part = label;
    const write = onnxKernels[kernel] as KernelWriter<KernelName>;
    const results = write(file, inputs.map((input) => names.get(input)!), dims);
    results.forEach((name, i) => names.set(outputs[i]!, name));
  }
  const shape = shapeOf(file, config.vocabSize);
  file.output(LOGITS, file.node("Reshape", [names.get(logits)!, shape]));
  return file.encode({
    input: { name: TOKENS, shape: ["batch", "sequence"] },
    output: { name: LOGITS, shape: ["batch", "sequence", config.vocabSize] },
    metadata: {
      config: JSON.stringify(config),
      ...(tokenizer && { tokenizer: JSON.stringify(tokenizer.toJSON()) }),
    },
  });
}

/** Returns the numbers of a parameter. */
function parameterOf(
  { name, shape }: Tensor,
  tensors: ReadonlyMap<string, TensorData>,
): Float32Array {
  const tensor = tensors.get(name);
  if (tensor?.shape.join() !== shape.join()) {
    const found = tensor === undefined ? "missing" : `[${tensor.shape}]`;
    throw refusal(
      RangeError,
      "write ONNX",
      `the parameter ${name} [${shape}] is ${found}`,
    );
  }
  return Float32Array.from(tensor!.data as Float32Array);
}

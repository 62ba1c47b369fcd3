/** The exhibit of rotary positions whose pairs were exchanged in the conversion to another program. */

import { Model } from "../../model/model.ts";
import type { TensorData } from "../../formats/safetensors.ts";
import { judge, recordedLossRow, writtenScore } from "./compare.ts";
import type { Exhibit } from "./exhibit.ts";
import type { Room, Specimen } from "./room.ts";

const rope: Exhibit = {
  name: "rope-pairs",
  title: "RoPE with the wrong pairs",
  claim:
    "weights that were trained with neighbours paired run with halves paired, as after a conversion",
  see:
    "The converted model loads without an error: all shapes are right. It writes something like the language, but worse.",
  deceives:
    "Both pairings are RoPE, and a model that is trained with either is as good. A test of one implementation against itself passes. At position 0 nothing is rotated, so the first token is right.",
  catches:
    "The check `recorded loss`: the validation loss of the loaded weights is not the one that the training reported. (A wrong kernel, rather than a wrong configuration, fails its conformance.)",
  repair:
    "`--position rope` says neighbours, `--position rope-half` halves; to change, permute the rows of each query and key head: even dims first, then odd ones (third column).",
  source:
    "the conversion of Llama's weights for Hugging Face Transformers, whose script permutes them for this reason",
  noticedBy: ["files: recorded loss"],
  run: async (room) => {
    const right = await room.right();
    await using mistake = await converted(room, right, (data) => data);
    await using permuted = await converted(room, right, halvesOf);
    const models = [right.model, mistake, permuted];
    const recorded = await recordedLossRow(
      room,
      right.dataset,
      models.map((model) => ({ model, valLoss: right.valLoss })),
    );
    const { bells, text, number } = await judge(room, models);
    return {
      setup: room.describe(right),
      columns: ["right", "mistake", "permuted"],
      figures: [
        {
          what: "validation loss, as the training reported it",
          values: models.map(() => right.valLoss),
        },
        {
          what: "validation loss, measured",
          values: recorded.verdicts.map(({ numbers }) =>
            numbers?.["loss"] ?? null
          ),
          tells: "loss",
        },
        writtenScore(number("its own text: free running", "own")),
      ],
      text,
      bells: [recorded, ...bells],
    };
  },
};

/** Copies the weights of a model with `rope` into one with `rope-half`. */
async function converted(
  { backend }: Room,
  { model }: Specimen,
  change: (weights: Float32Array, shape: Shape) => Float32Array,
): Promise<Model> {
  const { config } = model;
  const other = await Model.create(
    { ...config, position: "rope-half" },
    { backend },
  );
  const tensors = new Map<string, TensorData>();
  for (const [name, tensor] of await model.parameters()) {
    const isAttention = /\.c_attn\.(weight|bias)$/.test(name);
    const data = Float32Array.from(tensor.data as Float32Array);
    const { nHead, nKvHead, headSize } = config;
    const shape = {
      heads: nHead + nKvHead,
      HS: headSize,
      width: tensor.shape[1] ?? 1,
    };
    tensors.set(name, {
      dtype: "F32",
      shape: tensor.shape,
      data: isAttention ? change(data, shape) : data,
    });
  }
  other.setParameters(tensors);
  return other;
}

/** Layout of query and key heads in the rows of `c_attn`. */
interface Shape {
  /** Number of query and key heads, which come before the values. */
  readonly heads: number;
  readonly HS: number;
  /** Numbers in a row. */
  readonly width: number;
}

/** Moves the even rows of each query and key head before its odd ones. */
function halvesOf(
  weights: Float32Array,
  { heads, HS, width }: Shape,
): Float32Array {
  const moved = weights.slice();
  for (let row = 0; row < heads * HS; row++) {
    const [head, dim] = [Math.floor(row / HS), row % HS];
    const to = head * HS + Math.floor(dim / 2) + (dim % 2) * HS / 2;
    moved.set(weights.subarray(row * width, (row + 1) * width), to * width);
  }
  return moved;
}

/** The exhibits, in the order of the list. */
export const positionExhibits: readonly Exhibit[] = [rope];

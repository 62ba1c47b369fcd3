/** Hugging Face's folders: what is exported comes back as the same model, and what a model cannot have is refused by name. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { variants } from "../../lib/checks/variants.ts";
import { type ModelConfig, modelConfig } from "../../lib/config/model.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { exportCheckpoint } from "../../lib/export/exports.ts";
import { floatsOf } from "../../lib/formats/floats.ts";
import { importHf } from "../../lib/formats/hf.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type TensorData,
} from "../../lib/formats/safetensors.ts";
import { Model } from "../../lib/model/model.ts";
import { isRefusal } from "../../lib/refusal.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import {
  type Pickled,
  SavedTensor,
  torchPieces,
} from "../../lib/formats/torch_writer.ts";
import { concat } from "../../lib/cli/run/files.ts";
import { bytesOf, folderOf } from "../fixtures/exported_files.ts";

/** A model with biases and gains that are no zeros and ones. */
async function checkpointOf(config: ModelConfig): Promise<Checkpoint> {
  await using model = await Model.create(config, {
    device: "reference",
    seed: 3,
  });
  const tensors = new Map(
    [...await model.parameters()].map(([name, { shape, data }], row) => {
      const floats = Float32Array.from(
        data as Float64Array,
        (value, i) => value + 0.05 * Math.sin(1 + i + 7 * row),
      );
      return [name, { dtype: "F32", shape, data: floats }] as const;
    }),
  );
  return { config, tensors };
}

async function logitsOf(
  checkpoint: Checkpoint,
  count = checkpoint.config.blockSize,
): Promise<number[]> {
  await using model = await Model.load(checkpoint, { device: "reference" });
  const { vocabSize } = checkpoint.config;
  const ids = Int32Array.from({ length: count }, (_, i) => (3 * i) % vocabSize);
  return [...await model.forward(ids, { B: 1, T: count })];
}

function nearest(a: readonly number[], b: readonly number[]): number {
  assertEquals(a.length, b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

/** Models of every architecture that a folder can hold: odd sizes, grouped queries, with and without biases. */
const models: Readonly<Record<string, ModelConfig>> = {
  "GPT-2": modelConfig({
    ...{ vocabSize: 11, blockSize: 7, nLayer: 2, nHead: 3, nEmbd: 15 },
    ...{ nHidden: 13, position: "learned", tiedHead: true },
  }),
  "GPT-2 without biases, untied": modelConfig({
    ...{ vocabSize: 11, blockSize: 7, nLayer: 1, nHead: 1, nEmbd: 5 },
    ...{ position: "learned", mlp: "gelu", bias: false, headBias: false },
  }),
  "Llama": modelConfig({
    ...{ vocabSize: 11, blockSize: 7, nLayer: 2, nHead: 6, nKvHead: 2 },
    ...{ nEmbd: 36, nHidden: 13, position: "rope-half", norm: "rmsnorm" },
    ...{ mlp: "swiglu", bias: false, headBias: false },
  }),
  "Llama with biases, tied": modelConfig({
    ...{ vocabSize: 11, blockSize: 7, nLayer: 2, nHead: 3, nKvHead: 1 },
    ...{ nEmbd: 18, nHidden: 5, position: "rope-half", norm: "rmsnorm" },
    ...{ mlp: "swiglu", tiedHead: true },
  }),
};

const llama3 = modelConfig({
  ...{ vocabSize: 11, blockSize: 40, nLayer: 2, nHead: 6, nKvHead: 3 },
  ...{ nEmbd: 20, headSize: 6, nHidden: 13, position: "rope-half" },
  ...{ norm: "rmsnorm", normEps: 1e-6, mlp: "swiglu", bias: false },
  ...{ attentionBias: "all", headBias: false, ropeTheta: 500000 },
  ...{ ropeScaling: 8, ropeContext: 16 },
});

/** Models with the fields that only other programs' models have. */
const others: Readonly<Record<string, ModelConfig>> = {
  "Llama 3": llama3,
  "Qwen 2": modelConfig({
    ...llama3,
    ...{ nEmbd: 36, attentionBias: "qkv", normEps: 1e-6, ropeScaling: null },
    tiedHead: true,
  }),
  "Qwen 3": modelConfig({
    ...llama3,
    ...{ attentionBias: "none", qkNorm: true, qkNormGain: true },
    ropeScaling: null,
  }),
  "Qwen 3 without gains": modelConfig({ ...llama3, qkNorm: true }),
  "GPT-2 with other numbers": modelConfig({
    ...models["GPT-2"]!,
    ...{ normEps: 1e-3, attentionBias: "none", attentionScale: false },
  }),
};

for (const [name, config] of Object.entries({ ...models, ...others })) {
  Deno.test(`${name} comes back from a folder with the same logits, bit for bit`, async () => {
    const checkpoint = await checkpointOf(config);
    const folder = folderOf(bytesOf(exportCheckpoint("hf", checkpoint)));
    const { checkpoint: back, notes } = await importHf(folder);
    assertEquals(notes, []);
    assertEquals(await logitsOf(back), await logitsOf(checkpoint));
  });
}

for (const name of ["Llama with biases, tied", "Qwen 3"]) {
  Deno.test(`${name}: neighbouring pairs of rope are exported as halves, with the same logits but for rounding`, async () => {
    const checkpoint = await checkpointOf({
      ...{ ...models, ...others }[name]!,
      position: "rope",
    });
    const files = bytesOf(exportCheckpoint("hf", checkpoint));
    const { checkpoint: back } = await importHf(folderOf(files));
    assertEquals(back.config.position, "rope-half");
    const wanted = await logitsOf(checkpoint);
    assert(nearest(await logitsOf(back), wanted) < 1e-13);
    // The same rows paired as neighbours are another model.
    const wrong = { ...back, config: checkpoint.config };
    assert(nearest(await logitsOf(wrong), wanted) > 1e-3);
  });
}

Deno.test("Weights of 16 bits are those of a folder, nearest to the model's", async () => {
  const checkpoint = await checkpointOf(models["GPT-2"]!);
  for (
    const [dtype, error] of [["f16", 2 ** -11], ["bf16", 2 ** -8]] as const
  ) {
    const files = bytesOf(exportCheckpoint("hf", checkpoint, { dtype }));
    const { tensors } = decodeSafetensors(files.get("model.safetensors")!);
    for (const tensor of tensors.values()) {
      assertEquals(tensor.dtype, dtype.toUpperCase());
    }
    const { checkpoint: back } = await importHf(folderOf(files));
    for (const [name, tensor] of checkpoint.tensors) {
      const got = floatsOf(name, back.tensors.get(name)!);
      floatsOf(name, tensor).forEach((value, i) =>
        assert(Math.abs(got[i]! - value) <= error * Math.abs(value) + 2 ** -25)
      );
    }
  }
});

Deno.test("A model of any configuration is exported, or refused by its fields", async () => {
  let refused = 0;
  for (const { name, config } of variants) {
    const checkpoint = await checkpointOf(config);
    let files;
    try {
      files = exportCheckpoint("hf", checkpoint);
    } catch (error) {
      assert(isRefusal(error), name);
      assert(error.fields.length > 0, name);
      for (const field of error.fields) {
        assert(error.reason.includes(`${field} is `), error.reason);
      }
      assert(error.hint?.includes("preset"), error.hint);
      refused++;
      continue;
    }
    const { checkpoint: back } = await importHf(folderOf(bytesOf(files)));
    assert(nearest(await logitsOf(back), await logitsOf(checkpoint)) < 1e-13);
  }
  assert(refused > 10 && refused < variants.length, `${refused}`);
});

/** Returns the files of a Llama with some fields of its configuration changed. */
async function spoiled(
  fields: Record<string, unknown>,
  name = "Llama",
): Promise<Map<string, Uint8Array>> {
  const files = bytesOf(
    exportCheckpoint("hf", await checkpointOf(models[name]!)),
  );
  const config = JSON.parse(
    new TextDecoder().decode(files.get("config.json")),
  );
  files.set(
    "config.json",
    new TextEncoder().encode(JSON.stringify({ ...config, ...fields })),
  );
  return files;
}

async function refuses(
  files: Promise<Map<string, Uint8Array>>,
  message: string,
): Promise<void> {
  await assertRejects(
    async () => importHf(folderOf(await files)),
    SyntaxError,
    message,
  );
}

Deno.test("What a configuration asks for and a model cannot have is refused by the field's name", async () => {
  const cases: [Record<string, unknown>, string, string?][] = [
    [{ "model_type": "mistral" }, 'model_type is "mistral"'],
    [{ "hidden_act": "relu" }, 'hidden_act is "relu"'],
    [{ "rope_scaling": { type: "yarn" } }, 'rope_scaling.type is "yarn"'],
    [{ "rope_scaling": 8 }, "rope_scaling is 8, not an object"],
    [
      {
        "rope_parameters": {
          ...{ "rope_type": "llama3", factor: 8, "low_freq_factor": 2 },
          ...{ "original_max_position_embeddings": 16 },
        },
      },
      "rope_parameters.low_freq_factor is 2, and this program knows only 1",
    ],
    [{ "rms_norm_eps": 0 }, "normEps (0) is not a number above 0"],
    [{ "rope_theta": "10000" }, 'rope_theta is "10000", not a number'],
    [{ "layer_types": ["full_attention", "x"] }, 'layer_types is "x"'],
    [{ "use_sliding_window": true }, "use_sliding_window is true"],
    [{ "partial_rotary_factor": 0.5 }, "partial_rotary_factor is 0.5"],
    [{ "quantization_config": {} }, "quantization_config is an object"],
    [{ "num_hidden_layers": "2" }, 'num_hidden_layers is "2", not a number'],
    [{ "num_hidden_layers": 2.5 }, "num_hidden_layers is 2.5, not an integer"],
    [{ "num_hidden_layers": 1e6 }, "nLayer (1000000) is not an integer"],
    [{ "hidden_size": 1e9 }, "nEmbd (1000000000) is not an integer"],
    [{ "add_cross_attention": true }, "add_cross_attention is true", "GPT-2"],
    [{ "activation_function": "tanh" }, 'is "tanh"', "GPT-2"],
  ];
  for (const [fields, message, name] of cases) {
    await refuses(spoiled(fields, name), message);
  }
});

Deno.test("A folder without its files, or with other tensors, is refused by name", async () => {
  const without = async (name: string) => {
    const files = await spoiled({});
    files.delete(name);
    return files;
  };
  await refuses(without("config.json"), "there is no config.json");
  await refuses(without("model.safetensors"), "there is no model.safetensors");
  const bad = await spoiled({});
  bad.set("tokenizer.json", new TextEncoder().encode("{}"));
  await refuses(Promise.resolve(bad), "tokenizer.json is unusable: model is");
  const changed = async (
    change: (tensors: Map<string, TensorData>) => void,
  ) => {
    const files = await spoiled({});
    const { tensors } = decodeSafetensors(files.get("model.safetensors")!);
    change(tensors);
    files.set("model.safetensors", encodeSafetensors(tensors));
    return files;
  };
  const extra = { dtype: "F32", shape: [1], data: Float32Array.of(1) } as const;
  const norm = "model.norm.weight";
  await refuses(
    changed((tensors) => tensors.delete(norm)),
    `the tensor "${norm}" is missing`,
  );
  await refuses(
    changed((tensors) => tensors.set(norm, extra)),
    `the tensor "${norm}" has shape [1], its configuration asks for [36]`,
  );
  await refuses(
    changed((tensors) => tensors.set("model.norm.bias", extra)),
    'the tensor "model.norm.bias" has no place in the architecture llama',
  );
  const ints = { dtype: "I32", shape: [36], data: new Int32Array(36) } as const;
  await assertRejects(
    async () =>
      importHf(folderOf(await changed((tensors) => tensors.set(norm, ints)))),
    RangeError,
    `${norm} has dtype I32`,
  );
});

Deno.test("Shards are read by their index; one that could lead out of the folder is refused", async () => {
  const files = await spoiled({});
  const { tensors } = decodeSafetensors(files.get("model.safetensors")!);
  files.delete("model.safetensors");
  const map: Record<string, string> = {};
  const shards = [new Map(), new Map()] as const;
  [...tensors].forEach(([name, tensor], i) => {
    shards[i % 2]!.set(name, tensor);
    map[name] = `model-${i % 2}.safetensors`;
  });
  shards.forEach((shard, i) =>
    files.set(`model-${i}.safetensors`, encodeSafetensors(shard))
  );
  const withIndex = (index: unknown) =>
    new Map(files).set(
      "model.safetensors.index.json",
      new TextEncoder().encode(JSON.stringify(index)),
    );
  const { checkpoint } = await importHf(
    folderOf(withIndex({ "weight_map": map })),
  );
  const wanted = await checkpointOf(models["Llama"]!);
  assertEquals(await logitsOf(checkpoint), await logitsOf(wanted));
  for (
    const name of [
      "../model-0.safetensors",
      "/etc/passwd",
      "a/b.safetensors",
      "a\\b.safetensors",
      "..safetensors",
      7,
    ]
  ) {
    await refuses(
      Promise.resolve(withIndex({ "weight_map": { ...map, x: name } })),
      "which is not the name of a safetensors file in the folder",
    );
  }
  await refuses(Promise.resolve(withIndex({})), "has no weight_map");
  await refuses(Promise.resolve(withIndex([])), "is not a JSON object");
});

Deno.test("pytorch_model.bin is read where there are no safetensors, and nothing but its tensors", async () => {
  const files = await spoiled({});
  const { tensors } = decodeSafetensors(files.get("model.safetensors")!);
  files.delete("model.safetensors");
  const state = new Map<string, Pickled>(
    [...tensors].map(([name, tensor]) => [
      name,
      new SavedTensor(tensor.shape, () => floatsOf(name, tensor)),
    ]),
  );
  const folder = (content: Pickled) =>
    new Map(files).set("pytorch_model.bin", concat([...torchPieces(content)]));
  const { checkpoint } = await importHf(folderOf(folder(state)));
  const wanted = await checkpointOf(models["Llama"]!);
  assertEquals(await logitsOf(checkpoint), await logitsOf(wanted));
  await refuses(
    Promise.resolve(folder([1, 2])),
    'the tensor "model.embed_tokens.weight" is missing',
  );
  await refuses(
    Promise.resolve(new Map(files).set("pytorch_model.bin", new Uint8Array(9))),
    "it is not a zip archive",
  );
});

Deno.test("Names of the hub lack the base model's prefix, and masks are passed over", async () => {
  const files = await spoiled({}, "GPT-2");
  const { tensors } = decodeSafetensors(files.get("model.safetensors")!);
  const mask = { dtype: "F32", shape: [1], data: Float32Array.of(1) } as const;
  const renamed = new Map<string, TensorData>([
    ...[...tensors].map(([name, tensor]) =>
      [name.replace("transformer.", ""), tensor] as const
    ),
    ["h.0.attn.bias", mask],
    ["h.0.attn.masked_bias", mask],
  ]);
  files.set("model.safetensors", encodeSafetensors(renamed));
  const { checkpoint } = await importHf(folderOf(files));
  const wanted = await checkpointOf(models["GPT-2"]!);
  assertEquals(await logitsOf(checkpoint), await logitsOf(wanted));
});

Deno.test("A shorter context is the model's own, cut off", async () => {
  for (const name of ["GPT-2", "Llama"]) {
    const checkpoint = await checkpointOf(models[name]!);
    const folder = folderOf(bytesOf(exportCheckpoint("hf", checkpoint)));
    const { checkpoint: short } = await importHf(folder, { blockSize: 4 });
    assertEquals(short.config.blockSize, 4);
    assertEquals(await logitsOf(short), await logitsOf(checkpoint, 4));
    await assertRejects(
      () => importHf(folder, { blockSize: 8 }),
      SyntaxError,
      "blockSize 8 is above the model's own, 7",
    );
  }
});

Deno.test("Dropout has one rate: that of all fields, else it is left out with a note", async () => {
  const [a, b] = await Promise.all([
    spoiled({ attn_pdrop: 0.1, embd_pdrop: 0.1, resid_pdrop: 0.1 }, "GPT-2"),
    spoiled({ attn_pdrop: 0.1 }, "GPT-2"),
  ]);
  const same = await importHf(folderOf(a));
  assertEquals([same.checkpoint.config.dropout, same.notes], [0.1, []]);
  const other = await importHf(folderOf(b));
  assertEquals(other.checkpoint.config.dropout, 0);
  assert(other.notes[0]!.includes("attn_pdrop 0.1"), other.notes[0]);
});

Deno.test("A tokenizer goes with its model, and ids that it lacks become special tokens", async () => {
  const bpe = Tokenizer.bpe("the cat, the hat, the mat", { vocabSize: 259 });
  for (
    const tokenizer of [
      Tokenizer.ascii(),
      Tokenizer.bytes(),
      Tokenizer.chars('az"\\\n\u{1f3ad}é\0'),
      bpe,
    ]
  ) {
    const { vocabSize } = tokenizer;
    const config = { ...models["GPT-2"]!, vocabSize };
    const checkpoint = { ...await checkpointOf(config), tokenizer };
    const files = bytesOf(exportCheckpoint("hf", checkpoint));
    const { checkpoint: back } = await importHf(folderOf(files));
    assertEquals(back.tokenizer?.toJSON(), tokenizer.toJSON());
  }
  const config = { ...models["GPT-2"]!, vocabSize: 264 };
  const files = bytesOf(exportCheckpoint("hf", await checkpointOf(config)));
  const json = bytesOf(
    exportCheckpoint("hf", {
      ...await checkpointOf({ ...config, vocabSize: 259 }),
      tokenizer: bpe,
    }),
  ).get("tokenizer.json")!;
  files.set("tokenizer.json", json);
  const { checkpoint: { tokenizer } } = await importHf(folderOf(files));
  assertEquals(tokenizer!.vocabSize, 264);
  assertEquals(tokenizer!.encode("the cat"), bpe.encode("the cat"));
  assertEquals([...tokenizer!.specialTokens.values()], [
    259,
    260,
    261,
    262,
    263,
  ]);
});

Deno.test("A float type that a number is too large for is refused", async () => {
  const checkpoint = await checkpointOf(models["GPT-2"]!);
  const data = new Float32Array(11 * 15).fill(70000);
  const tensors = new Map(checkpoint.tensors)
    .set("wte.weight", { dtype: "F32", shape: [11, 15], data });
  const files = exportCheckpoint("hf", { ...checkpoint, tensors }, {
    dtype: "f16",
  });
  assertThrows(
    () => bytesOf(files),
    RangeError,
    "[0] is 70000, which is too large",
  );
});

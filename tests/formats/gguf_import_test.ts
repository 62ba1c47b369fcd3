/** Models from GGUF files: what was exported comes back, quantized numbers are ggml's, and damage is refused by name. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import { exportCheckpoint } from "../../lib/export/exports.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import {
  ggufPieces,
  type GgufTensor,
  type GgufValue,
} from "../../lib/formats/gguf_file.ts";
import { importGguf } from "../../lib/formats/gguf_import.ts";
import type { ByteSource } from "../../lib/formats/safetensors.ts";
import { Model } from "../../lib/model/model.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { bytesOf, sourceOf } from "../fixtures/exported_files.ts";
import { concat } from "../../lib/cli/run/files.ts";

type Options = Omit<ModelOptions, "vocabSize">;

const sizes: Options = {
  ...{ blockSize: 9, nLayer: 2, nEmbd: 12, nHidden: 7, headBias: false },
};
const llama: Options = {
  ...{ ...sizes, nHead: 6, nKvHead: 2, headSize: 4, position: "rope-half" },
  ...{ norm: "rmsnorm", mlp: "swiglu", bias: false },
};
const gpt2: Options = { ...sizes, nHead: 3, position: "learned" };

/** Models by the architectures that they are written as; with a tokenizer that has no end they are written as qwen2. */
const models: Readonly<Record<string, Options>> = {
  "llama": llama,
  "llama with neighbouring pairs": { ...llama, position: "rope" },
  "llama with biases, tied": {
    ...{ ...llama, attentionBias: "all", mlpBias: true, tiedHead: true },
    ...{ normEps: 1e-6, ropeTheta: 5e5 },
  },
  "llama with scaled rotation": { ...llama, ropeScaling: 8, ropeContext: 16 },
  "qwen2": { ...llama, attentionBias: "qkv", headBias: true },
  "qwen2 with neighbouring pairs": {
    ...{ ...llama, attentionBias: "qkv", position: "rope" },
  },
  "qwen3": { ...llama, qkNorm: true, qkNormGain: true },
  "qwen3 without gains": { ...llama, qkNorm: true },
  "gpt2": gpt2,
  "gpt2 without biases, tied": { ...gpt2, bias: false, tiedHead: true },
};

const text = "Ada is a cat. ".repeat(30);

async function checkpointOf(
  options: Options,
  tokenizer: Tokenizer = Tokenizer.bpe(text, { vocabSize: 260 }),
): Promise<Checkpoint> {
  const config = modelConfig({ ...options, vocabSize: tokenizer.vocabSize });
  await using model = await Model.create(config, { device: "reference" });
  const parameters = [...await model.parameters()];
  const tensors = new Map(parameters.map(([name, { shape }], row) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1))
      .map((_, i) => Math.sin(1 + i + 7 * row) / 3);
    return [name, { dtype: "F32", shape, data }] as const;
  }));
  return { config, tensors, tokenizer };
}

function exported(
  checkpoint: Checkpoint,
  dtype?: "f32" | "f16" | "bf16",
): Uint8Array {
  const files = exportCheckpoint("gguf", checkpoint, { dtype });
  return bytesOf(files).get("model.gguf")!;
}

async function logitsOf(checkpoint: Checkpoint): Promise<number[]> {
  await using model = await Model.load(checkpoint, { device: "reference" });
  const { vocabSize } = checkpoint.config;
  const ids = Int32Array.from({ length: 9 }, (_, i) => (31 * i) % vocabSize);
  return [...await model.forward(ids, { B: 1, T: 9 })];
}

/** Renames a value, so that a file is one that another program might have written. */
function withoutOwn(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  for (const name of ["lm.config", "lm.tokenizer"]) {
    const at = new TextDecoder("latin1").decode(copy).indexOf(name);
    if (at >= 0) copy[at] = "x".charCodeAt(0);
  }
  return copy;
}

for (const [name, options] of Object.entries(models)) {
  Deno.test(`A GGUF file gives the same model again: ${name}`, async () => {
    const checkpoint = await checkpointOf(options);
    const { checkpoint: back, notes } = await importGguf(
      sourceOf(exported(checkpoint)),
    );
    assertEquals(notes, []);
    assertEquals(back.config, checkpoint.config);
    assertEquals(back.tensors, checkpoint.tensors);
    assertEquals(back.tokenizer!.toJSON(), checkpoint.tokenizer!.toJSON());
    assertEquals(await logitsOf(back), await logitsOf(checkpoint));
  });

  Deno.test(`A GGUF file of another program gives the same logits: ${name}`, async () => {
    const checkpoint = await checkpointOf(options);
    const { checkpoint: back } = await importGguf(
      sourceOf(withoutOwn(exported(checkpoint))),
    );
    const [found, expected] = [
      await logitsOf(back),
      await logitsOf(checkpoint),
    ];
    const largest = Math.max(
      ...found.map((logit, i) => Math.abs(logit - expected[i]!)),
    );
    // Pairs of rope come back as rope-half: the same products in another order. Numbers have 32 bits in the file.
    const { position, normEps } = checkpoint.config;
    assertEquals(back.config.position, position.replace(/^rope$/, "rope-half"));
    assert(Math.abs(back.config.normEps / normEps - 1) < 1e-7);
    assert(largest < 1e-7, `${largest}`);
  });
}

Deno.test("Tokenizers come back with the same ids", async () => {
  const bpe = (split: "gpt2" | "cl100k" | "qwen2" | "smollm") =>
    Tokenizer.bpe(text, { vocabSize: 262, split });
  const sample = "Ada's cat 12345,\n\n 's  x";
  const whole = Tokenizer.fromJSON({
    ...bpe("cl100k").toJSON(),
    merges: undefined,
  });
  const characters = Tokenizer.chars(text + sample + "é");
  for (
    const [tokenizer, options] of [
      [bpe("gpt2"), gpt2],
      [bpe("cl100k"), llama],
      [whole, llama],
      [bpe("qwen2"), llama],
      [bpe("smollm"), llama],
      [Tokenizer.bpe(text, { vocabSize: 262, endOfText: true }), llama],
      [Tokenizer.ascii(), llama],
      [Tokenizer.bytes({ endOfText: true }), llama],
      [Tokenizer.chars(text + sample, { endOfText: true }), llama],
      // Written with a token more, which is left out again.
      [characters, llama],
      [characters, { ...llama, headBias: true, tiedHead: true }],
    ] as const
  ) {
    const checkpoint = await checkpointOf(options, tokenizer);
    const { checkpoint: back } = await importGguf(
      sourceOf(exported(checkpoint)),
    );
    assertEquals(back.config, checkpoint.config);
    assertEquals(back.tensors, checkpoint.tensors);
    assertEquals(back.tokenizer!.kind, tokenizer.kind);
    assertEquals(back.tokenizer!.specialTokens, tokenizer.specialTokens);
    const ids = tokenizer.encode(sample);
    assertEquals(back.tokenizer!.encode(sample), ids);
    assertEquals(back.tokenizer!.decode(ids), sample);
  }
});

Deno.test("A shorter context leaves out the last rows of the table of positions", async () => {
  const checkpoint = await checkpointOf(gpt2);
  const source = sourceOf(exported(checkpoint));
  const { checkpoint: back } = await importGguf(source, { blockSize: 5 });
  assertEquals(back.config, { ...checkpoint.config, blockSize: 5 });
  assertEquals(
    back.tensors.get("wpe.weight")!.data,
    checkpoint.tensors.get("wpe.weight")!.data.slice(0, 5 * 12),
  );
  await assertRejects(
    () => importGguf(source, { blockSize: 10 }),
    SyntaxError,
    "blockSize 10 is above the model's own, 9",
  );
});

Deno.test("Weights of 16 bits come back as the numbers that the file has", async () => {
  const checkpoint = await checkpointOf(llama);
  for (const [dtype, bits] of [["f16", 11], ["bf16", 8]] as const) {
    const { checkpoint: back } = await importGguf(
      sourceOf(exported(checkpoint, dtype)),
    );
    for (const [name, { data }] of back.tensors) {
      const own = checkpoint.tensors.get(name)!.data as Float32Array;
      for (const [i, value] of (data as Float32Array).entries()) {
        assert(
          Math.abs(value - own[i]!) <=
            2 ** -bits * Math.abs(own[i]!) + 2 ** -25,
          `${name}[${i}]`,
        );
      }
    }
  }
});

/** A small file that is undamaged, with values that tests change. */
function fileOf(
  change: (parts: {
    values: Map<string, GgufValue>;
    tensors: Map<string, GgufTensor>;
  }) => void = () => {},
): ByteSource {
  const values = new Map<string, GgufValue>([
    ["general.architecture", "llama"],
    ["llama.context_length", 8],
    ["llama.embedding_length", 4],
    ["llama.block_count", 1],
    ["llama.feed_forward_length", 3],
    ["llama.attention.head_count", 2],
    ["llama.attention.layer_norm_rms_epsilon", { float: 1e-5 }],
  ]);
  const shapes: Record<string, number[]> = {
    "token_embd.weight": [5, 4],
    "blk.0.attn_norm.weight": [4],
    ...{ "blk.0.attn_q.weight": [4, 4], "blk.0.attn_k.weight": [4, 4] },
    ...{ "blk.0.attn_v.weight": [4, 4], "blk.0.attn_output.weight": [4, 4] },
    "blk.0.ffn_norm.weight": [4],
    ...{ "blk.0.ffn_up.weight": [3, 4], "blk.0.ffn_gate.weight": [3, 4] },
    "blk.0.ffn_down.weight": [4, 3],
    "output_norm.weight": [4],
  };
  const tensors = new Map(
    Object.entries(shapes).map(([name, shape]) => [name, tensor(name, shape)]),
  );
  change({ values, tensors });
  return sourceOf(concat([...ggufPieces(values, [...tensors.values()])]));
}

function tensor(name: string, shape: readonly number[]): GgufTensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return { name, shape, type: "f32", data: () => new Float32Array(size) };
}

Deno.test("A file without a tokenizer gives a model without one", async () => {
  const { checkpoint } = await importGguf(fileOf());
  assertEquals(checkpoint.tokenizer, undefined);
  assertEquals(checkpoint.config.tiedHead, true);
  const ascii = Tokenizer.ascii();
  await assertRejects(
    () => importGguf(fileOf(), { tokenizer: ascii }),
    SyntaxError,
    "the tokenizer has 128 tokens, the model 5",
  );
});

Deno.test("Llama 3's scaling is found in the divisors of the frequencies", async () => {
  const config = { headSize: 128, ropeTheta: 5e5 };
  for (
    const [ropeScaling, ropeContext] of [[8, 8192], [32, 8192], [
      4,
      30000,
    ]] as const
  ) {
    const options: Options = {
      ...{ ...llama, ...config, ropeScaling, ropeContext },
    };
    const bytes = withoutOwn(exported(await checkpointOf(options)));
    const { checkpoint } = await importGguf(sourceOf(bytes));
    assertEquals(checkpoint.config.ropeScaling, ropeScaling);
    assertEquals(checkpoint.config.ropeContext, ropeContext);
  }
  await assertRejects(
    () =>
      importGguf(fileOf(({ tensors }) => {
        const data = () => Float32Array.of(0.5);
        tensors.set("r", {
          ...tensor("rope_freqs.weight", [1]),
          data,
        });
      })),
    SyntaxError,
    'the tensor "rope_freqs.weight" is not Llama 3\'s scaling',
  );
});

/** Changes of an undamaged file, and the reasons for which it is then refused. */
const refused: readonly (readonly [
  reason: string,
  change: (parts: {
    values: Map<string, GgufValue>;
    tensors: Map<string, GgufTensor>;
  }) => void,
])[] = [
  [
    'general.architecture is "mamba", and this program knows only "llama" or "qwen2" or "qwen3" or "gpt2"',
    ({ values }) => values.set("general.architecture", "mamba"),
  ],
  [
    "general.architecture is missing",
    ({ values }) => values.delete("general.architecture"),
  ],
  [
    "llama.block_count is missing",
    ({ values }) => values.delete("llama.block_count"),
  ],
  [
    "llama.attention.head_count is an object, not a number",
    ({ values }) =>
      values.set("llama.attention.head_count", Int32Array.of(2, 2)),
  ],
  [
    "llama.expert_count is 8, and this program knows only 0",
    ({ values }) => values.set("llama.expert_count", 8),
  ],
  [
    'llama.rope.scaling.type is "yarn"',
    ({ values }) => values.set("llama.rope.scaling.type", "yarn"),
  ],
  [
    "llama.rope.dimension_count is 1, and this program knows only 2",
    ({ values }) => values.set("llama.rope.dimension_count", 1),
  ],
  ["split.count is 3", ({ values }) => values.set("split.count", 3)],
  [
    "nHead (2) is not a multiple of nKvHead (3)",
    ({ values }) => values.set("llama.attention.head_count_kv", 3),
  ],
  [
    'the tensor "blk.0.attn_k.weight" is missing',
    ({ tensors }) => tensors.delete("blk.0.attn_k.weight"),
  ],
  [
    'the tensor "token_embd.weight" is missing',
    ({ tensors }) => tensors.delete("token_embd.weight"),
  ],
  [
    'the tensor "output_norm.weight" has shape [5], its configuration asks for [4]',
    ({ tensors }) =>
      tensors.set("output_norm.weight", tensor("output_norm.weight", [5])),
  ],
  [
    'the tensor "blk.0.ffn_sub_norm.weight" has no place in the architecture llama',
    ({ tensors }) => tensors.set("x", tensor("blk.0.ffn_sub_norm.weight", [4])),
  ],
  [
    "its tensors ask for attentionBias qkv, and llama has",
    ({ tensors }) => tensors.set("x", tensor("blk.0.attn_q.bias", [4])),
  ],
  [
    'the tensor "blk.0.attn_q.weight" is there twice',
    ({ tensors }) => tensors.set("x", tensor("blk.0.attn_q.weight", [4, 4])),
  ],
  [
    'its tokenizer "llama" is SentencePiece, which chooses pieces by their scores',
    ({ values }) => values.set("tokenizer.ggml.model", "llama"),
  ],
  [
    "its pre-tokenizer (tokenizer.ggml.pre) is not named",
    ({ values }) => values.set("tokenizer.ggml.model", "gpt2"),
  ],
  [
    'its pre-tokenizer (tokenizer.ggml.pre) is "tekken"',
    ({ values }) =>
      values.set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "tekken"),
  ],
  [
    "its tokenizer is unusable: the byte 0x00 is no token",
    ({ values }) =>
      values.set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "gpt-2")
        .set("tokenizer.ggml.tokens", ["a"])
        .set("tokenizer.ggml.merges", []),
  ],
  [
    "tokenizer.ggml.tokens is not a list of strings",
    ({ values }) =>
      values.set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "gpt-2"),
  ],
  ["lm.config is not JSON", ({ values }) => values.set("lm.config", "{")],
  [
    "lm.config is unusable",
    ({ values }) => values.set("lm.config", '{"nLayer": 0}'),
  ],
];

for (const [reason, change] of refused) {
  Deno.test(`A GGUF file is refused: ${reason}`, async () => {
    await assertRejects(() => importGguf(fileOf(change)), SyntaxError, reason);
  });
}

Deno.test("A configuration that contradicts llama.cpp's values is refused", async () => {
  const bytes = exported(await checkpointOf(llama));
  const key = "llama.context_length";
  const at = new TextDecoder("latin1").decode(bytes).indexOf(key);
  bytes[at + key.length + 4] = 8; // behind the type, in place of 9
  await assertRejects(
    () => importGguf(sourceOf(bytes)),
    SyntaxError,
    `lm.config contradicts ${key}`,
  );
});

Deno.test("A GGUF file that ends anywhere is refused", async () => {
  const bytes = exported(await checkpointOf({ ...llama, nLayer: 1 }));
  for (let length = 0; length < bytes.length; length += 997) {
    await assertRejects(
      () => importGguf(sourceOf(bytes.subarray(0, length))),
      SyntaxError,
    );
  }
});

/** What a checkpoint holds, and what is refused as one. The format underneath has tests of its own. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  DamagedCheckpointError,
  decodeCheckpoint,
  encodeCheckpoint,
  openCheckpoint,
} from "../../lib/formats/checkpoint.ts";
import type { ModelOptions } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { Model } from "../../lib/model/model.ts";
import {
  type ByteSource,
  decodeSafetensors,
  encodeSafetensors,
  PIECE_BYTES,
  type TensorData,
} from "../../lib/formats/safetensors.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";

const tokenizer = Tokenizer.chars("abcde");
const options: ModelOptions = {
  vocabSize: 5,
  blockSize: 4,
  nLayer: 1,
  nHead: 1,
  nEmbd: 4,
};

async function bytesOf(change: Partial<ModelOptions> = {}) {
  await using model = await Model.create(
    { ...options, ...change },
    { device: "reference" },
  );
  return await model.save({ tokenizer });
}

/** The checkpoint with other metadata; undefined takes an entry away. */
async function withMetadata(
  change: Record<string, string | undefined>,
): Promise<Uint8Array> {
  const { tensors, metadata } = decodeSafetensors(await bytesOf());
  const entries = Object.entries({ ...metadata, ...change });
  return encodeSafetensors(
    tensors,
    Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as {
      [name: string]: string;
    },
  );
}

/** The configuration's JSON with one field changed. */
async function configWith(change: Record<string, unknown>): Promise<string> {
  const { config } = decodeCheckpoint(await bytesOf());
  return JSON.stringify({ ...config, ...change });
}

Deno.test("Checkpoint is read as it was written, to the byte", async () => {
  const { config, tensors } = decodeCheckpoint(await bytesOf());
  const training = { step: 7, config: trainConfig({ maxSteps: 9 }) };
  const bytes = encodeCheckpoint({ config, tensors, tokenizer, training });
  const checkpoint = decodeCheckpoint(bytes);
  assertEquals(checkpoint.config, config);
  assertEquals(checkpoint.tensors, tensors);
  assertEquals(checkpoint.training, training);
  assertEquals(checkpoint.tokenizer!.toJSON(), tokenizer.toJSON());
  assertEquals(encodeCheckpoint(checkpoint), bytes);
});

Deno.test("Checkpoint from before a field is read with what the program did then", async () => {
  const url = new URL(
    "../fixtures/before_model_fields.safetensors",
    import.meta.url,
  );
  const bytes = await Deno.readFile(url);
  const written = JSON.parse(decodeSafetensors(bytes).metadata["config"]!);
  assertEquals(written.normEps, undefined);
  const { config } = decodeCheckpoint(bytes);
  const { headSize, normEps, ropeTheta, attentionBias, mlpBias } = config;
  assertEquals(headSize, 4);
  assertEquals([normEps, ropeTheta, attentionBias, mlpBias], [
    1e-5,
    1e4,
    "all",
    true,
  ]);
  await using model = await Model.load(bytes, { device: "reference" });
  const logits = await model.forward(Int32Array.of(0, 3, 1, 4), { B: 1, T: 4 });
  // The first and the last position, as the version that wrote the file computed them.
  const expected = [
    ...[1.854398217708455, 2.1389926860865582, 1.1139918679577008],
    ...[-1.2599023775948681, -0.7676103463229353],
    ...[0.7205431975016034, 1.6205489669070006, 1.4092111467977486],
    ...[0.20914957925119648, 0.020392767767698716],
  ];
  for (
    const [i, logit] of [...logits.slice(0, 5), ...logits.slice(-5)].entries()
  ) {
    assertAlmostEquals(logit, expected[i]!, 1e-12);
  }
});

Deno.test("Checkpoint keeps its precision, and one from before that field goes on in float32", async () => {
  const precisionOf = async (config: object) => {
    const training = JSON.stringify({ step: 1, config });
    const bytes = await withMetadata({ training, digest: undefined });
    return decodeCheckpoint(bytes).training!.config.precision;
  };
  const { precision, ...older } = trainConfig({ precision: "f16" });
  assertEquals(await precisionOf({ ...older, precision }), "f16");
  assertEquals(await precisionOf(older), "f32");
});

Deno.test("Checkpoint is not written with a tokenizer that does not fit its model", async () => {
  await using model = await Model.create(options, { device: "reference" });
  await assertRejects(
    () => model.save({ tokenizer: Tokenizer.ascii() }),
    RangeError,
    "Cannot write checkpoint: the tokenizer has 128 tokens, the model 5",
  );
});

Deno.test("Checkpoint with impossible metadata is refused with the reason", async () => {
  const training = (state: unknown) => ({ training: JSON.stringify(state) });
  const config = trainConfig();
  const cases: [Record<string, string | undefined>, string][] = [
    [{ format: undefined }, "its format is not named"],
    [{ format: "pt" }, 'its format is "pt"'],
    [{ version: "2" }, "its version is 2, and this program reads 1"],
    [{ config: undefined }, "its config is unusable: it is missing"],
    [{ config: "{" }, "its config is unusable: "],
    [{ config: "[]" }, "it is not a JSON object"],
    [{ config: await configWith({ nHeads: 2 }) }, "nHeads is not a field"],
    [{ config: await configWith({ nEmbd: 0 }) }, "nEmbd (0)"],
    [{ config: await configWith({ nLayer: 999 }) }, "nLayer is 999"],
    [
      { config: await configWith({ vocabSize: 6 }) },
      "its tokenizer has 5 tokens, its model 6",
    ],
    [{ tokenizer: '{"kind":"words"}' }, "its tokenizer is unusable"],
    [training({ step: -1, config }), "step is -1"],
    [training({ step: 1 }), "config is missing"],
    [training({ step: 1, config: { ...config, eps: "1" } }), "eps (1)"],
    [
      training({ step: 1, config: { ...config, __proto__: null, x: 1 } }),
      "x is not a field",
    ],
  ];
  for (const [change, reason] of cases) {
    const bytes = await withMetadata(change);
    assertThrows(() => decodeCheckpoint(bytes), SyntaxError, reason);
  }
});

Deno.test("Checkpoint that claims too long a context is refused before its position table is allocated", async () => {
  for (const position of ["sinusoidal", "rope", "rope-half"]) {
    const config = await configWith({ position, blockSize: 2 ** 24 });
    const bytes = await withMetadata({ config });
    assertThrows(
      () => decodeCheckpoint(bytes),
      SyntaxError,
      "would take 67108864 angles, the limit is 16777216",
    );
  }
});

Deno.test("Checkpoint that claims more parameters than it has numbers is refused before memory is allocated", async () => {
  const { tensors, config } = decodeCheckpoint(await bytesOf());
  const large = { ...config, nEmbd: 4096, nHidden: 2 ** 20 };
  await assertRejects(
    () => Model.load({ config: large, tensors }, { device: "reference" }),
    RangeError,
    "parameters, the file only",
  );
});

Deno.test("Checkpoint with a byte changed anywhere in its tensors is refused, and one without a digest is read", async () => {
  const bytes = await bytesOf();
  const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  for (let at = 8 + header; at < bytes.length; at += 37) {
    const spoilt = bytes.slice();
    spoilt[at]! ^= 0x10;
    assertThrows(
      () => decodeCheckpoint(spoilt),
      SyntaxError,
      "Cannot read checkpoint: it is damaged: the digest of its content is ",
    );
  }
  const long = await withMetadata({ digest: "x".repeat(100_000) });
  const { message } = assertThrows(() => decodeCheckpoint(long), Error);
  assert(message.length < 300, message.slice(0, 300));
  const older = await withMetadata({ digest: undefined });
  assertEquals(
    decodeCheckpoint(older).tensors,
    decodeCheckpoint(bytes).tensors,
  );
});

Deno.test("Checkpoint with tensors exchanged, turned or renamed, or with its training changed, is refused", async () => {
  const bytes = await bytesOf();
  const { tensors, metadata } = decodeSafetensors(bytes);
  const [[first, a], [second, b]] = [...tensors].filter(([, { shape }]) =>
    shape.length === 1
  ) as [[string, TensorData], [string, TensorData]];
  const swapped = new Map([...tensors, [first, b], [second, a]]);
  const training = { step: 7, config: trainConfig() };
  const { config } = decodeCheckpoint(bytes);
  const trained = decodeSafetensors(
    encodeCheckpoint({ config, tensors, tokenizer, training }),
  );
  const later = JSON.stringify({ ...training, step: 8 });
  const [name, matrix] = [...tensors].find(([, { shape }]) =>
    shape.length === 2 && shape[0] !== shape[1]
  )!;
  const turned = { ...matrix, shape: matrix.shape.toReversed() };
  const renamed = new Map(
    [...tensors].map(([name, tensor]) => [`${name}_`, tensor]),
  );
  for (
    const spoilt of [
      encodeSafetensors(swapped, metadata),
      encodeSafetensors(new Map([...tensors, [name, turned]]), metadata),
      encodeSafetensors(renamed, metadata),
      encodeSafetensors(tensors, { ...trained.metadata, training: later }),
    ]
  ) {
    assertThrows(() => decodeCheckpoint(spoilt), SyntaxError, "it is damaged");
  }
});

/** Bytes that are read in parts, and the most that was read at once. */
function sourceOf(bytes: Uint8Array): ByteSource & { largest: number } {
  return {
    size: bytes.length,
    largest: 0,
    read(begin, end) {
      this.largest = Math.max(this.largest, end - begin);
      return Promise.resolve(bytes.slice(begin, end));
    },
  };
}

Deno.test("An open checkpoint is read in pieces, and a model of it has the same weights", async () => {
  // The embedding has more than two pieces, and the last is not whole.
  const vocabSize = 2 * PIECE_BYTES / 4 / 64 + 7;
  const config = { vocabSize, nLayer: 1, nHead: 1, nEmbd: 64, nHidden: 3 };
  await using model = await Model.create(config, { device: "wasm" });
  const source = sourceOf(await model.save());
  const file = await openCheckpoint(source);
  assertEquals(file.config, model.config);
  await using same = await Model.load(file, { device: "wasm" });
  assertEquals(await same.parameters(), await model.parameters());
  assertEquals(source.largest, PIECE_BYTES);
});

Deno.test("An open checkpoint has what a decoded one has, and is refused for the same reasons", async () => {
  const bytes = await bytesOf();
  const { config, tensors, tokenizer } = decodeCheckpoint(bytes);
  const file = await openCheckpoint(sourceOf(bytes));
  assertEquals(file.config, config);
  assertEquals(file.tokenizer?.toJSON(), tokenizer?.toJSON());
  const infos = [...tensors].map(([name, { dtype, shape }]) =>
    [name, { dtype, shape }] as const
  );
  assertEquals(new Map([...file.infos].sort()), new Map(infos.sort()));
  for (const wrong of ["{", JSON.stringify({ ...config, nHead: 0 })]) {
    const changed = await withMetadata({ config: wrong });
    const { message } = assertThrows(
      () => decodeCheckpoint(changed),
      SyntaxError,
    );
    await assertRejects(
      () => openCheckpoint(sourceOf(changed)),
      SyntaxError,
      message,
    );
  }
});

Deno.test("An open checkpoint with a changed byte is refused once it is read, and its model with it", async () => {
  const bytes = await bytesOf();
  bytes[bytes.length - 3]! ^= 1;
  const file = await openCheckpoint(sourceOf(bytes));
  await assertRejects(
    () => Model.load(file, { device: "reference" }),
    DamagedCheckpointError,
    "it is damaged",
  );
});

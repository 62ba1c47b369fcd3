/** Models in other programs' files, and damage that only such files can have: false indexes, pickles and archives. */

import { join } from "@std/path";
import { concat } from "../../lib/cli/run/files.ts";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import { exportCheckpoint } from "../../lib/export/exports.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
} from "../../lib/formats/safetensors.ts";
import { openZip, zipPieces } from "../../lib/formats/zip.ts";
import { Model } from "../../lib/model/model.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import {
  type Dice,
  spoilBytes,
  spoilJsonText,
  spoilSafetensors,
} from "./mutations.ts";

const INDEX = "model.safetensors.index.json";
const shards = ["model-1.safetensors", "model-2.safetensors"] as const;

/**
 * Undamaged files by their paths: a Llama in two shards in `hf`, nanoGPT's checkpoint in `nanogpt`, and two GGUF files: one
 * as this program writes it, and one without this program's own values.
 */
export async function otherModels(
  text: string,
): Promise<Map<string, Uint8Array>> {
  const sizes = { blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8 };
  const tokenizer = Tokenizer.chars(text);
  const { vocabSize } = tokenizer;
  const llama = await exported("hf", {
    ...{ ...sizes, vocabSize, nKvHead: 1, nHidden: 5, headSize: 6 },
    ...{ position: "rope-half", ropeScaling: 8, norm: "rmsnorm" },
    ...{ mlp: "swiglu", headBias: false, tiedHead: true },
  }, tokenizer);
  const nanogpt = await exported("nanogpt", {
    ...{ ...sizes, vocabSize, position: "learned", mlp: "gelu" },
    tiedHead: true,
  }, tokenizer);
  const gguf = (await exported("gguf", {
    ...{ ...sizes, vocabSize: 260, nKvHead: 1, nHidden: 5, headSize: 6 },
    ...{ position: "rope-half", ropeScaling: 8, norm: "rmsnorm" },
    ...{ mlp: "swiglu", bias: false, headBias: false },
  }, Tokenizer.bpe(text, { vocabSize: 260 }))).get("model.gguf")!;
  const foreign = gguf.slice();
  const own = new TextDecoder("latin1").decode(gguf).indexOf("lm.config");
  foreign[own] = "x".charCodeAt(0);
  const { tensors } = decodeSafetensors(llama.get("model.safetensors")!);
  llama.delete("model.safetensors");
  const names = [...tensors.keys()];
  shards.forEach((shard, part) => {
    const own = names.filter((_, i) => i % 2 === part)
      .map((name) => [name, tensors.get(name)!] as const);
    llama.set(shard, encodeSafetensors(new Map(own), { format: "pt" }));
  });
  const map = Object.fromEntries(
    names.map((name, i) => [name, shards[i % 2]]),
  );
  const index = JSON.stringify({ metadata: {}, "weight_map": map });
  llama.set(INDEX, new TextEncoder().encode(index));
  return new Map([
    ...[...llama].map(([name, bytes]) => [`hf/${name}`, bytes] as const),
    ...[...nanogpt].map(([name, bytes]) => [`nanogpt/${name}`, bytes] as const),
    ["gguf/own.gguf", gguf],
    ["gguf/foreign.gguf", foreign],
  ]);
}

async function exported(
  format: "hf" | "nanogpt" | "gguf",
  options: ModelOptions,
  tokenizer: Tokenizer,
): Promise<Map<string, Uint8Array>> {
  await using model = await Model.create(modelConfig(options), {
    ...{ device: "reference", tokenizer },
  });
  const files = exportCheckpoint(
    format,
    decodeCheckpoint(await model.save()),
  );
  return new Map(
    files.map(({ name, pieces }) => [name, concat([...pieces()])]),
  );
}

/** Damages one file of a folder of Hugging Face's. */
export async function spoilHf(folder: string, dice: Dice): Promise<void> {
  const name = dice.pick([
    ...["config.json", "config.json", "config.json", INDEX, INDEX],
    ...["tokenizer.json", ...shards],
  ]);
  const path = join(folder, name);
  const bytes = await Deno.readFile(path);
  if (dice.below(12) === 0) {
    await Deno.remove(path);
    if (dice.below(2) === 0) return await Deno.mkdir(path);
    const target = dice.pick(["/etc/passwd", "/dev/zero", "..", path]);
    return await Deno.symlink(target, path);
  }
  const encode = (text: string) => new TextEncoder().encode(text);
  const text = new TextDecoder().decode(bytes);
  await Deno.writeFile(
    path,
    dice.below(5) === 0
      ? spoilBytes(bytes, dice)
      : name.endsWith(".safetensors")
      ? spoilSafetensors(bytes, dice)
      : name === INDEX && dice.below(2) === 0
      ? encode(spoilIndex(text, dice))
      : encode(spoilJsonText(text, dice)),
  );
}

/** Lets an index name other files, or too many. */
function spoilIndex(text: string, dice: Dice): string {
  const index = JSON.parse(text) as { "weight_map": Record<string, unknown> };
  const map = index["weight_map"];
  const file = dice.pick([
    ...["../run/checkpoint.safetensors", "/etc/passwd", "config.json"],
    ...[
      "nothing.safetensors",
      `${"a".repeat(300)}.safetensors`,
      ".safetensors",
    ],
    ...[INDEX, null, 7, ["model-1.safetensors"], "model-1.safetensors\0"],
  ]);
  const count = dice.pick([1, 3000]);
  for (let i = 0; i < count; i++) {
    map[`extra.${i}`] = typeof file === "string" && count > 1
      ? file.replace("nothing", `nothing${i}`)
      : file;
  }
  return JSON.stringify(index);
}

/** Damages nanoGPT's checkpoint or its `meta.pkl`. */
export async function spoilNanogpt(folder: string, dice: Dice): Promise<void> {
  if (dice.below(6) === 0) {
    const path = join(folder, "meta.pkl");
    const bytes = await Deno.readFile(path);
    return await Deno.writeFile(path, spoilPickle(bytes, dice));
  }
  const path = join(folder, "ckpt.pt");
  const bytes = await Deno.readFile(path);
  switch (dice.below(4)) {
    case 0:
      return await Deno.writeFile(path, spoilBytes(bytes, dice));
    case 1:
      return await Deno.writeFile(path, spoilDirectory(bytes, dice));
    default:
      return await Deno.writeFile(path, await spoilContent(bytes, dice));
  }
}

/** Sets a field of the archive's directory or its end to a number that it should not be. */
function spoilDirectory(bytes: Uint8Array, dice: Dice): Uint8Array {
  const spoilt = bytes.slice();
  const view = new DataView(spoilt.buffer);
  const end = spoilt.length - 22;
  const directory = view.getUint32(end + 16, true);
  const number = dice.pick([
    ...[0, 1, 8, 0xffff, 0xffffffff, 2 ** 31, spoilt.length, directory],
  ]);
  const at = dice.below(3) === 0
    ? end + dice.below(18)
    : directory + dice.below(end - directory - 4);
  if (dice.below(2) === 0) view.setUint32(at, number, true);
  else view.setUint16(at, number & 0xffff, true);
  return spoilt;
}

/** Damages files in the archive and writes it again, with true sums. */
async function spoilContent(
  bytes: Uint8Array,
  dice: Dice,
): Promise<Uint8Array> {
  const archive = await openZip({
    size: bytes.length,
    read: (begin, end) => Promise.resolve(bytes.slice(begin, end)),
  });
  const files = await Promise.all(
    [...archive.sizes.keys()].map(async (name) => ({
      name,
      content: await archive.read(name),
    })),
  );
  const at = dice.below(5) === 0 ? dice.below(files.length) : 0;
  const { name, content } = files[at]!;
  switch (dice.below(10)) {
    case 0:
      files.splice(at, 1);
      break;
    case 1:
      files.push({ name: `${name}x`, content });
      break;
    case 2:
      files[at] = { name: dice.pick(["", "data.pkl", "../data.pkl"]), content };
      break;
    default:
      files[at] = { name, content: spoilPickle(content, dice) };
  }
  return concat([
    ...zipPieces(
      files.map(({ name, content }) => ({ name, bytes: () => content })),
    ),
  ]);
}

/** Damages a GGUF file: a number in its header, or bytes at random. */
export function spoilGguf(bytes: Uint8Array, dice: Dice): Uint8Array {
  if (dice.below(3) === 0) return spoilBytes(bytes, dice);
  const spoilt = bytes.slice();
  const view = new DataView(spoilt.buffer);
  // The first numbers, those behind a name, or any.
  const name = dice.pick([
    ...["llama.context_length", "llama.embedding_length", "llama.block_count"],
    ...["llama.feed_forward_length", "llama.attention.head_count"],
    ...["llama.rope.freq_base", "tokenizer.ggml.tokens", "general.alignment"],
    ...[
      "tokenizer.ggml.token_type",
      "tokenizer.ggml.merges",
      "token_embd.weight",
    ],
    ...["blk.0.attn_q.weight", "rope_freqs.weight", "output_norm.weight"],
    ...["lm.config", "tokenizer.ggml.model"],
  ]);
  const text = new TextDecoder("latin1").decode(bytes);
  const named = text.indexOf(name);
  const at = dice.below(4) === 0 || named < 0
    ? dice.pick([4, 8, 16, 24 + dice.below(bytes.length / 2)])
    : named + name.length + dice.pick([0, 4, 8, 12, 16, 20, -name.length - 8]);
  const number = dice.pick([
    ...[0n, 1n, 2n, 7n, 8n, 9n, 255n, 65_536n, 2n ** 24n, 2n ** 31n],
    ...[2n ** 32n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n],
    BigInt(bytes.length),
  ]);
  if (dice.below(2) === 0) view.setBigUint64(at, number, true);
  else view.setUint32(at, Number(number & 0xffffffffn), true);
  return spoilt;
}

/** Pieces of pickles: calls, opcodes of every kind, numbers, texts without an end. */
const pieces: readonly string[] = [
  "cos\nsystem\nX\x02\0\0\0lsq\x05\x85R",
  ...["cbuiltins\neval\n", "ctorch\nFloatStorage\n", "\x8c\x02os\x93"],
  ...["(", "((((", "t", "R", "b", "Q", "u", "e", "0", "2", "B", "\x82\x01"],
  ...["h\0", "j\xff\xff\xff\xff", "r\xff\xff\xff\xffN", "X\xff\xff\xff\x7f"],
  ...["J\xff\xff\xff\x7f", "J\0\0\0\x80", "\x8a\xff", "G\x7f\xf0\0\0\0\0\0\0"],
  ...["K\0", "K\x01", "N", "\x88", "]", "}", ")", "."],
];

/** Damages a pickle: a piece of another in it, a number or a name changed, or bytes at random. */
function spoilPickle(bytes: Uint8Array, dice: Dice): Uint8Array {
  const at = dice.below(bytes.length);
  switch (dice.below(4)) {
    case 0: {
      const piece = dice.pick(pieces);
      const codes = [...piece].map((char) => char.charCodeAt(0));
      const insert = Uint8Array.from(codes);
      const after = dice.below(2) === 0 ? at : at + insert.length;
      return concat([bytes.subarray(0, at), insert, bytes.subarray(after)]);
    }
    case 1: { // The number behind an opcode of integers.
      const number = bytes.indexOf("J".charCodeAt(0), at);
      if (number < 0 || number + 5 > bytes.length) break;
      const spoilt = bytes.slice();
      const value = dice.pick([-1, 0, 1, 7, 2 ** 16, 2 ** 31 - 1, -(2 ** 31)]);
      new DataView(spoilt.buffer).setInt32(number + 1, value, true);
      return spoilt;
    }
    case 2: { // Many values, lists in lists.
      const piece = dice.pick(["]", "(", "N", "}", "]q\0h\0a", "(K\0"]);
      const many = piece.repeat(dice.pick([100, 30_000]));
      const codes = [...many].map((char) => char.charCodeAt(0));
      return concat([
        bytes.subarray(0, at),
        Uint8Array.from(codes),
        bytes.subarray(at),
      ]);
    }
  }
  return spoilBytes(bytes, dice);
}

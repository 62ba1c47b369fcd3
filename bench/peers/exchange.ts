/**
 * Other people's programs read what `lm export` writes, and `lm import` what they write:
 *
 *     deno run -A bench/peers/exchange.ts [NANOGPT]
 *
 * Hugging Face's folders are read by the definitions of transformers in PyTorch (`hf_models.py`). With a clone of
 * https://github.com/karpathy/nanoGPT, its own `model.py` and `train.py` read a checkpoint, continue the training, and
 * the result comes back. Prints a table: the largest difference of logits at all positions. Needs Debian's
 * python3-torch, and the text tinyshakespeare.
 */

import { dirname, fromFileUrl, join } from "@std/path";
import { loadDataset } from "../../data/load.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { type ModelOptions } from "../../lib/config/model.ts";
import { concat } from "../../lib/cli/run/files.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { exportCheckpoint } from "../../lib/export/exports.ts";
import { Model } from "../../lib/model/model.ts";

const here = dirname(fromFileUrl(import.meta.url));
const python = ["/usr/bin/python3", "-B"];
const cli = ["deno", "run", "-A", join(here, "../../cli.ts")];

/** Runs a command and returns its output; ends the program if it fails. */
async function run(args: readonly string[], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(args[0]!, {
    args: args.slice(1),
    ...(cwd && { cwd }),
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  console.error(args.join(" "), text, new TextDecoder().decode(stderr));
  Deno.exit(1);
}

/** Returns the logits that a Python program prints on its last line. */
async function logitsBy(
  args: readonly (string | number)[],
): Promise<number[]> {
  const output = await run([...python, ...args.map(String)]);
  return JSON.parse(output.trimEnd().split("\n").at(-1)!);
}

/** Returns the logits of lm's float64 reference and its CPU engine. */
async function ownLogits(bytes: Uint8Array | Checkpoint, ids: Int32Array) {
  const of = async (device: "reference" | "wasm") => {
    await using model = await Model.load(bytes, { device });
    return await model.forward(ids, { B: 1, T: ids.length });
  };
  return { reference: await of("reference"), wasm: await of("wasm") };
}

function idsOf(count: number, vocabSize: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (7 * i * i + 3 * i) % vocabSize);
}

/** Prints a row of the table. */
function report(
  name: string,
  theirs: readonly number[],
  own: Awaited<ReturnType<typeof ownLogits>>,
): void {
  const [reference, wasm] = [own.reference, own.wasm].map((logits) =>
    theirs.reduce((most, value, i) => Math.max(most, Math.abs(value - logits[i]!)), 0)
      .toExponential(1)
  );
  const largest = Math.max(...theirs.map(Math.abs)).toFixed(1);
  console.log(
    `${name.padEnd(28)} reference ${reference}  wasm ${wasm}  (logits up to ${largest}, ${theirs.length} of them)`,
  );
}

const sizes = {
  ...{ vocabSize: 211, blockSize: 40, nLayer: 3, nHead: 6, nEmbd: 90 },
  ...{ nHidden: 150, headBias: false },
} as const;
const llama = {
  ...sizes,
  ...{ nKvHead: 2, norm: "rmsnorm", mlp: "swiglu", bias: false },
  ...{ position: "rope-half", headSize: 14 },
} as const;
const models: Readonly<Record<string, ModelOptions>> = {
  "gpt2": { ...sizes, position: "learned", tiedHead: true },
  "gpt2, no biases, untied": {
    ...sizes,
    ...{ position: "learned", mlp: "gelu", bias: false, normEps: 1e-6 },
  },
  "llama": { ...llama, tiedHead: true },
  "llama from rope": { ...llama, position: "rope" },
  "llama 3": { ...llama, ropeTheta: 500, ropeScaling: 8, ropeContext: 30 },
  "llama, biases": { ...llama, attentionBias: "all", mlpBias: true },
  "qwen3": { ...llama, qkNorm: true, qkNormGain: true, tiedHead: true },
  "qwen2": { ...llama, headSize: 15 + 1, nEmbd: 96, attentionBias: "qkv" },
};

async function huggingFace(folder: string): Promise<void> {
  for (const [name, options] of Object.entries(models)) {
    await using model = await Model.create(options, { device: "reference" });
    await makeGeneric(model);
    // Weights of 32 bits, as they are exported.
    const tensors = new Map(
      [...await model.parameters()].map(([name, { shape, data }]) => [
        name,
        { dtype: "F32", shape, data: new Float32Array(data as Float64Array) },
      ]),
    );
    const checkpoint = { config: model.config, tensors } as Checkpoint;
    const path = join(folder, name.replaceAll(/\W/g, "-"));
    await Deno.mkdir(path);
    for (const { name, pieces } of exportCheckpoint("hf", checkpoint)) {
      await Deno.writeFile(join(path, name), concat([...pieces()]));
    }
    const ids = idsOf(options.blockSize!, options.vocabSize);
    const script = join(here, "hf_models.py");
    const theirs = await logitsBy([script, "logits", path, ...ids]);
    report(name, theirs, await ownLogits(checkpoint, ids));
  }
}

/** Goes to nanoGPT in the middle of a training, and back. */
async function nanogpt(checkout: string, folder: string): Promise<void> {
  const path = (...names: string[]) => join(folder, ...names);
  const { text } = await loadDataset("tinyshakespeare");
  await Deno.writeTextFile(path("text.txt"), text);
  const lm = (line: string) => run([...cli, ...line.split(" ")], folder);
  await lm(
    "train --preset nano-cpu --bias --steps 200 --data text.txt --out run --eval-interval 0 --device wasm",
  );
  await lm("export run out --to nanogpt-torch1");
  const ids = idsOf(64, 65);
  const script = [join(here, "nanogpt.py"), checkout, "logits"];
  const compare = async (name: string, run: string) => {
    const bytes = await Deno.readFile(path(run, "checkpoint.safetensors"));
    const theirs = await logitsBy([...script, path("out/ckpt.pt"), ...ids]);
    report(name, theirs, await ownLogits(bytes, ids));
  };
  await compare("nanogpt, exported", "run");
  // A copy of the clone: its data go into a folder of it.
  await run(["cp", "-r", checkout, path("nanoGPT")]);
  await Deno.mkdir(path("nanoGPT/data/lm"));
  await run([
    ...python,
    "-c",
    `
import pickle, numpy as np
meta = pickle.load(open("out/meta.pkl", "rb"))
ids = np.array([meta["stoi"][c] for c in open("text.txt").read()], np.uint16)
n = int(0.9 * len(ids))
ids[:n].tofile("nanoGPT/data/lm/train.bin")
ids[n:].tofile("nanoGPT/data/lm/val.bin")
`,
  ], folder);
  const log = await run([
    ...python,
    "train.py",
    ...[path("out/settings.py"), `--out_dir=${path("out")}`],
    ...["--device=cpu", "--compile=False", "--dtype=float32"],
    ...["--eval_interval=100", "--eval_iters=20", "--max_iters=400"],
    ...["--always_save_checkpoint=True"],
  ], path("nanoGPT"));
  for (const line of log.split("\n")) {
    if (/^step \d+: train loss/.test(line)) console.log(`  nanoGPT: ${line}`);
  }
  await lm("import out --out back");
  await compare("nanogpt, imported", "back");
  const before = await lm("eval run --data text.txt --split val --json --eval-tokens 20000");
  const after = await lm("eval back --data text.txt --split val --json --eval-tokens 20000");
  const [a, b] = [before, after].map((line) => JSON.parse(line)) as [
    Record<string, number>,
    Record<string, number>,
  ];
  console.log(
    `  lm: validation loss ${a["valLoss"]!.toFixed(4)} at step ${a["step"]}, ${
      b["valLoss"]!.toFixed(4)
    } at step ${b["step"]}`,
  );
}

const folder = await Deno.makeTempDir({ prefix: "lm-exchange-" });
try {
  await huggingFace(folder);
  const [checkout] = Deno.args;
  if (checkout !== undefined) await nanogpt(checkout, folder);
} finally {
  await Deno.remove(folder, { recursive: true });
}

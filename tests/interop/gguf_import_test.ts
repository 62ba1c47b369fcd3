/** GGUF files that llama.cpp wrote or quantized: the same weights, logits, greedy texts and ids after import. */

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { concat } from "../../lib/cli/run/files.ts";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import { importGguf } from "../../lib/formats/gguf_import.ts";
import { ggufTensors, ggufValues } from "../../lib/formats/gguf.ts";
import { ggufPieces, type GgufValue } from "../../lib/formats/gguf_file.ts";
import { preTokenizers } from "../../lib/formats/gguf_tokenizer.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { sourceOf } from "../fixtures/exported_files.ts";
import {
  exportedFile,
  genericCheckpoint,
  largestDifference,
  randomTokens,
  referenceLogits,
  withFolder,
} from "./exported_models.ts";
import { greedy, type Job, run } from "./llama_cpp.ts";
import { interopTest, runScript } from "./programs.ts";

/** Positions that are compared, and ids that are then chosen. */
const [T, COUNT] = [27, 40];

/** Sizes of which every matrix has rows of whole blocks, so that llama.cpp quantizes all of them. */
const sizes: ModelOptions = {
  ...{ vocabSize: 128, blockSize: T + COUNT, nLayer: 1, nEmbd: 256 },
  ...{ nHidden: 512, nHead: 8, headBias: false },
};
const llama: ModelOptions = {
  ...{ ...sizes, nKvHead: 2, position: "rope-half", norm: "rmsnorm" },
  ...{ mlp: "swiglu", bias: false },
};

/** Models by architecture. */
const models: Readonly<Record<string, ModelOptions>> = {
  "llama, tied, with scaled rotation": {
    ...{ ...llama, tiedHead: true, ropeScaling: 8, ropeContext: 16 },
  },
  "qwen2": { ...llama, attentionBias: "qkv" },
  "qwen3": { ...llama, qkNorm: true, qkNormGain: true, headSize: 64 },
  "gpt2": { ...sizes, position: "learned" },
};

/** llama.cpp reads GELU from a table of 16-bit floats. */
const tolerances = { rmsnorm: 5e-5, layernorm: 2e-3, none: 0 };

/** Returns the path of a file with other names for this program's own values, as another program would write it. */
async function foreign(path: string): Promise<string> {
  const bytes = await Deno.readFile(path);
  const text = new TextDecoder("latin1").decode(bytes);
  for (const name of ["lm.config", "lm.tokenizer"]) {
    const at = text.indexOf(name);
    if (at >= 0) bytes[at] = "x".charCodeAt(0);
  }
  const to = `${path}-foreign.gguf`;
  await Deno.writeFile(to, bytes);
  return to;
}

async function imported(
  path: string,
  tokenizer?: Tokenizer,
): Promise<Checkpoint> {
  const source = sourceOf(await Deno.readFile(path));
  return (await importGguf(source, { tokenizer })).checkpoint;
}

const [Q8, Q4] = ["Q8_0", "Q4_0"];

interopTest(
  "Files that llama.cpp quantized give the numbers that it gives itself, its logits and its greedy texts",
  () =>
    withFolder(async (folder) => {
      const ascii = Tokenizer.ascii();
      const quantized: { from: string; to: string; type: string }[] = [];
      const widened: typeof quantized = [];
      const names: string[] = [];
      for (const [name, options] of Object.entries(models)) {
        const config = modelConfig(options);
        // GPT-2's weights are smaller: logits of order 1, where llama.cpp's GELU is exact enough.
        const share = config.norm === "layernorm" ? 0.2 : 0.5;
        const checkpoint = await genericCheckpoint(config, {
          tokenizer: ascii,
          change: (values, { length }) =>
            length === 1 ? values : values.map((value) => share * value),
        });
        const file = await exportedFile(folder, "gguf", { checkpoint });
        const from = await foreign(file);
        for (const type of ["F16", Q8, Q4]) {
          names.push(`${name}, ${type}`);
          const to = `${from}-${type}`;
          quantized.push({ from, to, type });
          widened.push({ from: to, to: `${to}-F32`, type: "F32" });
        }
      }
      await runScript("llama_quantize.mjs", { input: quantized });
      await runScript("llama_quantize.mjs", { input: widened });
      const checkpoints: Checkpoint[] = [];
      const jobs: Job[] = [];
      for (const [i, { from, to }] of widened.entries()) {
        const own = await imported(from, ascii);
        const theirs = await imported(to, ascii);
        assertEquals(own.config, theirs.config, names[i]);
        assertEquals(own.tensors, theirs.tensors, names[i]);
        checkpoints.push(own);
        const [small, large] = [await Deno.stat(from), await Deno.stat(to)];
        assert(small.size < 0.6 * large.size, names[i]);
        const { tokens } = randomTokens(own.config, [1, T]);
        jobs.push({ file: to, tokens, count: COUNT, texts: [] });
      }
      const answers = await run(jobs);
      for (const [i, answer] of answers.entries()) {
        const { tokens } = jobs[i]!;
        const expected = await referenceLogits(checkpoints[i]!, {
          tokens,
          shape: [1, T],
        });
        const found = largestDifference(answer.logits.flat(), expected);
        const most = tolerances[checkpoints[i]!.config.norm];
        assert(found <= most, `${names[i]}: logits differ by ${found}`);
        const chosen = await greedy(checkpoints[i]!, tokens, COUNT);
        assertEquals(answer.chosen, chosen, names[i]);
      }
    }),
);

/** Text of several scripts, with the signs that pre-tokenizers cut at. */
const mixed =
  "Naïve café; 12,345 ½ «Привет, мир!» 日本語のテキスト 👩‍👩‍👧 it's WE'LL\n\n" +
  "  two  spaces\t\ttabs \r\n def f(x):\n    return x ** 2  # ok\n";

/** Returns a tokenizer that merges any two neighbouring bytes of a text, so that each cut between two shows. */
function pairsOf(text: string): Tokenizer {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  const pairs = new Set(
    Array.from({ length: bytes.length - 1 }, (_, i) => bytes.slice(i, i + 2)),
  );
  const all = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i));
  return Tokenizer.fromVocabulary({
    split: "gpt2",
    tokens: [...all, ...pairs],
    merges: [...pairs].flatMap((pair) => [
      pair.charCodeAt(0),
      pair.charCodeAt(1),
    ]),
    special: [],
  });
}

interopTest(
  "llama.cpp cuts texts as the pre-tokenizers do that have its names",
  () =>
    withFolder(async (folder) => {
      const tokenizer = pairsOf(mixed);
      const { vocabSize } = tokenizer;
      const config = modelConfig({
        ...{ ...llama, vocabSize, nLayer: 1, nHead: 1, nKvHead: 1 },
        ...{ nEmbd: 4, nHidden: 3, blockSize: 32, tiedHead: true },
      });
      const checkpoint = await genericCheckpoint(config, { tokenizer });
      const tensors = ggufTensors("llama", checkpoint).map((
        { name, shape, floats },
      ) => ({ name, shape, type: "f32" as const, data: floats }));
      const names = Object.keys(preTokenizers);
      const jobs: Job[] = [];
      const own: number[][] = [];
      for (const name of names) {
        const values = new Map<string, GgufValue>([
          ["general.architecture", "llama"],
          ...ggufValues("llama", config, tokenizer),
          ["tokenizer.ggml.pre", name],
        ]);
        const bytes = concat([...ggufPieces(values, tensors)]);
        const file = join(folder, `${name}.gguf`);
        await Deno.writeFile(file, bytes);
        const { checkpoint } = await importGguf(sourceOf(bytes));
        own.push([...checkpoint.tokenizer!.encode(mixed)]);
        jobs.push({ file, tokens: [0], count: 0, texts: [mixed] });
      }
      const answers = await run(jobs);
      for (const [i, name] of names.entries()) {
        assertEquals(answers[i]!.ids[0], own[i], name);
      }
      // The four pre-tokenizers are told apart.
      assertEquals(new Set(own.map(String)).size, 4);
    }),
);

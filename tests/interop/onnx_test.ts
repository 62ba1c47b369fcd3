/**
 * ONNX files in onnxruntime against the reference backend: every variant of a model. Logits are of order 1 and the
 * runtime computes in 32 bits, so a difference above 1e-5 is not rounding.
 */

import { assert, assertStringIncludes } from "@std/assert";
import { variant, variants } from "../../lib/checks/variants.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { presets } from "../../lib/config/presets.ts";
import type { ExportOptions } from "../../lib/export/exports.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import {
  exportedFile,
  genericCheckpoint,
  largestDifference,
  randomTokens,
  referenceLogits,
  type Tokens,
  withFolder,
} from "./exported_models.ts";
import { interopTest, runScript } from "./programs.ts";

/** One run of a file. */
interface Job extends Tokens {
  readonly file: string;
}

/** Logits, (B, T, V), or the runtime's error. */
type Result = number[] | { readonly error: string };

async function run(jobs: readonly Job[]): Promise<Result[]> {
  return await runScript("onnx_runtime.mjs", { input: jobs }) as Result[];
}

/** Writes a checkpoint as ONNX, and returns a job for it with random tokens. */
async function jobOf(
  folder: string,
  checkpoint: Checkpoint,
  { B = 3, T, dtype }: ExportOptions & { B?: number; T: number },
): Promise<Job> {
  const file = await exportedFile(folder, "onnx", { checkpoint, dtype });
  return { file, ...randomTokens(checkpoint.config, [B, T]) };
}

function difference(result: Result, logits: ArrayLike<number>): number {
  if (!Array.isArray(result)) throw new Error(result.error);
  return largestDifference(result, logits);
}

interopTest(
  "Every variant has the reference's logits in onnxruntime",
  () =>
    withFolder(async (folder) => {
      const checkpoints = new Map<string, Checkpoint>();
      for (const { name, config } of variants) {
        checkpoints.set(name, await genericCheckpoint(config));
      }
      const recipe = { ...presets.default.model, vocabSize: 65, blockSize: 64 };
      const config = modelConfig({ ...recipe, nEmbd: 96, nLayer: 3 });
      // Wider, so smaller weights: logits stay of order 1.
      const change = (values: Float32Array) => values.map((x) => x / 2);
      checkpoints.set(
        "the default preset",
        await genericCheckpoint(config, { change }),
      );
      const jobs: Job[] = [];
      for (const checkpoint of checkpoints.values()) {
        const { blockSize } = checkpoint.config;
        jobs.push(await jobOf(folder, checkpoint, { T: blockSize - 1 }));
        jobs.push(await jobOf(folder, checkpoint, { B: 1, T: blockSize }));
      }
      const results = await run(jobs);
      for (const [i, [name, checkpoint]] of [...checkpoints].entries()) {
        for (const at of [2 * i, 2 * i + 1]) {
          const logits = await referenceLogits(checkpoint, jobs[at]!);
          const found = difference(results[at]!, logits);
          assert(found <= 1e-5, `${name}: ${found}`);
        }
      }
    }),
);

interopTest(
  "The two pairings of RoPE differ in onnxruntime",
  () =>
    withFolder(async (folder) => {
      const checkpoint = await genericCheckpoint(
        variant("position rope").config,
      );
      const { config, tensors } = checkpoint;
      const other = { ...config, position: "rope-half" } as const;
      const job = await jobOf(folder, { config: other, tensors }, { T: 6 });
      const [result] = await run([job]);
      const found = difference(result!, await referenceLogits(checkpoint, job));
      assert(found > 1e-3, `${found}`);
    }),
);

interopTest(
  "Parameters of 16 bits give the logits of rounded parameters",
  () =>
    withFolder(async (folder) => {
      const { config } = variant("all at once");
      const exact = await genericCheckpoint(config);
      const rounded = await genericCheckpoint(config, {
        change: (values) => new Float16Array(values),
      });
      const job = await jobOf(folder, exact, { T: 6, dtype: "f16" });
      const [result] = await run([job]);
      const found = difference(result!, await referenceLogits(rounded, job));
      assert(found < 1e-5, `${found}`);
      assert(difference(result!, await referenceLogits(exact, job)) > 1e-5);
    }),
);

interopTest(
  "onnxruntime refuses more positions than a table has",
  () =>
    withFolder(async (folder) => {
      for (const name of ["position learned", "position rope"]) {
        const checkpoint = await genericCheckpoint(variant(name).config);
        const [result] = await run([await jobOf(folder, checkpoint, { T: 7 })]);
        assert(!Array.isArray(result));
        assertStringIncludes(result!.error, "out of data bounds");
      }
    }),
);

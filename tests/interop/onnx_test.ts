/**
 * ONNX files in onnxruntime against the reference backend: every variant of a model. Logits are of order 1 and the
 * runtime computes in 32 bits, so a difference above 1e-5 is not rounding.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  makeGeneric,
  randomIds,
  variant,
  variants,
} from "../../lib/checks/variants.ts";
import { type ModelConfig, modelConfig } from "../../lib/config/model.ts";
import { presets } from "../../lib/config/presets.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { Model } from "../../lib/model/model.ts";
import { encodeOnnx, type OnnxOptions } from "../../lib/onnx/encode.ts";
import { interopTest, runScript } from "./programs.ts";

/** One run of a file: tokens (B, T). */
interface Job {
  readonly file: string;
  readonly tokens: readonly number[];
  readonly shape: readonly [B: number, T: number];
}

/** Logits, (B, T, V), or the runtime's error. */
type Result = number[] | { readonly error: string };

async function run(jobs: readonly Job[]): Promise<Result[]> {
  return await runScript("onnx_runtime.mjs", { input: jobs }) as Result[];
}

/** Returns a checkpoint of a model whose parameters are generic and have 32 bits, or 16. */
async function checkpointOf(
  config: ModelConfig,
  narrow: (values: Float32Array) => Iterable<number> = (values) => values,
): Promise<Checkpoint> {
  await using model = await Model.create(config, { device: "reference" });
  await makeGeneric(model);
  const parameters = [...await model.parameters()];
  const tensors = new Map(parameters.map(([name, { shape, data }]) => {
    const values = Float32Array.from(data as Float64Array);
    const narrowed = Float32Array.from(narrow(values));
    return [name, { dtype: "F32", shape, data: narrowed }] as const;
  }));
  return { config, tensors };
}

/** Returns the reference's logits for a job. */
async function expected(
  checkpoint: Checkpoint,
  { tokens, shape: [B, T] }: Job,
): Promise<ArrayLike<number>> {
  await using model = await Model.load(checkpoint, { device: "reference" });
  return await model.forward(Int32Array.from(tokens), { B, T });
}

/** Writes a checkpoint as ONNX, and returns a job for it with random tokens. */
async function jobOf(
  folder: string,
  checkpoint: Checkpoint,
  { B = 3, T, dtype }: OnnxOptions & { B?: number; T: number },
): Promise<Job> {
  const file = await Deno.makeTempFile({ dir: folder, suffix: ".onnx" });
  const bytes = new Blob(encodeOnnx(checkpoint, { dtype }) as BlobPart[]);
  await Deno.writeFile(file, bytes.stream());
  const tokens = [...randomIds(B * T, checkpoint.config)];
  return { file, tokens, shape: [B, T] };
}

/** Returns the largest difference of two lists of logits. */
function difference(result: Result, logits: ArrayLike<number>): number {
  if (!Array.isArray(result)) throw new Error(result.error);
  assertEquals(result.length, logits.length);
  return result.reduce(
    (most, logit, i) => Math.max(most, Math.abs(logit - logits[i]!)),
    0,
  );
}

async function withFolder(work: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "lm-onnx-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interopTest(
  "Every variant has the reference's logits in onnxruntime",
  () =>
    withFolder(async (folder) => {
      const checkpoints = new Map<string, Checkpoint>();
      for (const { name, config } of variants) {
        checkpoints.set(name, await checkpointOf(config));
      }
      const recipe = { ...presets.default.model, vocabSize: 65, blockSize: 64 };
      const config = modelConfig({ ...recipe, nEmbd: 96, nLayer: 3 });
      checkpoints.set("the default preset", await checkpointOf(config));
      const jobs: Job[] = [];
      for (const checkpoint of checkpoints.values()) {
        const { blockSize } = checkpoint.config;
        jobs.push(await jobOf(folder, checkpoint, { T: blockSize - 1 }));
        jobs.push(await jobOf(folder, checkpoint, { B: 1, T: blockSize }));
      }
      const results = await run(jobs);
      for (const [i, [name, checkpoint]] of [...checkpoints].entries()) {
        for (const at of [2 * i, 2 * i + 1]) {
          const logits = await expected(checkpoint, jobs[at]!);
          const size = Math.max(1, ...Array.from(logits, Math.abs));
          const found = difference(results[at]!, logits);
          assert(found <= 1e-5 * size, `${name}: ${found} of ${size}`);
        }
      }
    }),
);

interopTest(
  "The two pairings of RoPE differ in onnxruntime",
  () =>
    withFolder(async (folder) => {
      const checkpoint = await checkpointOf(variant("position rope").config);
      const { config, tensors } = checkpoint;
      const other = { ...config, position: "rope-half" } as const;
      const job = await jobOf(folder, { config: other, tensors }, { T: 6 });
      const [result] = await run([job]);
      const found = difference(result!, await expected(checkpoint, job));
      assert(found > 1e-3, `${found}`);
    }),
);

interopTest(
  "Parameters of 16 bits give the logits of rounded parameters",
  () =>
    withFolder(async (folder) => {
      const { config } = variant("all at once");
      const exact = await checkpointOf(config);
      const rounded = await checkpointOf(
        config,
        (values) => new Float16Array(values),
      );
      const job = await jobOf(folder, exact, { T: 6, dtype: "f16" });
      const [result] = await run([job]);
      const found = difference(result!, await expected(rounded, job));
      assert(found < 1e-5, `${found}`);
      assert(difference(result!, await expected(exact, job)) > 1e-5);
    }),
);

interopTest(
  "onnxruntime refuses more positions than a table has",
  () =>
    withFolder(async (folder) => {
      for (const name of ["position learned", "position rope"]) {
        const checkpoint = await checkpointOf(variant(name).config);
        const [result] = await run([await jobOf(folder, checkpoint, { T: 7 })]);
        assert(!Array.isArray(result));
        assertStringIncludes(result!.error, "out of data bounds");
      }
    }),
);

/** Models for other people's programs: generic parameters, exported files, and the logits of the reference backend. */

import { assertEquals } from "@std/assert";
import { makeGeneric, randomIds } from "../../lib/checks/variants.ts";
import type { ModelConfig } from "../../lib/config/model.ts";
import {
  exportCheckpoint,
  type ExportFormatName,
  type ExportOptions,
} from "../../lib/export/exports.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { Model } from "../../lib/model/model.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";

/** Returns a model whose parameters are generic 32-bit numbers of order 1; `change` may round or shrink them. */
export async function genericCheckpoint(
  config: ModelConfig,
  { tokenizer, change = (values) => values }: {
    readonly tokenizer?: Tokenizer | undefined;
    readonly change?: (
      values: Float32Array,
      shape: readonly number[],
    ) => ArrayLike<number>;
  } = {},
): Promise<Checkpoint> {
  await using model = await Model.create(config, { device: "reference" });
  await makeGeneric(model);
  const parameters = [...await model.parameters()];
  const tensors = new Map(parameters.map(([name, { shape, data }]) => {
    const values = Float32Array.from(data as Float64Array);
    const changed = Float32Array.from(change(values, shape));
    return [name, { dtype: "F32", shape, data: changed }] as const;
  }));
  return { config, tensors, tokenizer };
}

/** Tokens of a forward pass, (B, T). */
export interface Tokens {
  readonly tokens: readonly number[];
  readonly shape: readonly [B: number, T: number];
}

/** Returns random tokens, the same for the same sizes. */
export function randomTokens(
  config: ModelConfig,
  shape: readonly [B: number, T: number],
): Tokens {
  return { tokens: [...randomIds(shape[0] * shape[1], config)], shape };
}

/** Returns the logits of the reference backend, (B, T, V). */
export async function referenceLogits(
  checkpoint: Checkpoint,
  { tokens, shape: [B, T] }: Tokens,
): Promise<ArrayLike<number>> {
  await using model = await Model.load(checkpoint, { device: "reference" });
  return await model.forward(Int32Array.from(tokens), { B, T });
}

/** Returns the largest difference of two lists of logits. */
export function largestDifference(
  found: readonly number[],
  expected: ArrayLike<number>,
): number {
  assertEquals(found.length, expected.length);
  return found.reduce(
    (most, logit, i) => Math.max(most, Math.abs(logit - expected[i]!)),
    0,
  );
}

/** Exports a model to a file of one format and returns its path. */
export async function exportedFile(
  folder: string,
  format: ExportFormatName,
  { checkpoint, ...options }: ExportOptions & {
    readonly checkpoint: Checkpoint;
  },
): Promise<string> {
  const [file] = exportCheckpoint(format, checkpoint, options);
  const path = await Deno.makeTempFile({ dir: folder, suffix: file!.name });
  await Deno.writeFile(path, ReadableStream.from(file!.pieces()));
  return path;
}

/** Runs a test with a folder that is removed afterwards. */
export async function withFolder(
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lm-interop-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

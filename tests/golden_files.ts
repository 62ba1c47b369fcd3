/** The recorded runs in `golden/`, whole or rewritten, and the demand that a backend agrees with one. */

import { fail } from "@std/assert";
import type { Backend } from "../lib/backends/backend.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type TensorData,
} from "../lib/safetensors.ts";
import { formatOutcome } from "../tools/verify/table.ts";
import { type Outcome, verifyFile } from "../tools/verify/verify_file.ts";

const folder = new URL("golden/", import.meta.url);

/** The recordings' names, without their ending. */
export const goldenNames: readonly string[] = Array.from(
  Deno.readDirSync(folder),
  ({ name }) => name,
).filter((name) => name.endsWith(".safetensors"))
  .map((name) => name.replace(".safetensors", ""))
  .sort();

/** The bytes of a recording. */
export function goldenFile(name: string): Uint8Array {
  return Deno.readFileSync(new URL(`${name}.safetensors`, folder));
}

/** A recording that may be changed. */
export interface Draft {
  readonly tensors: Map<string, TensorData>;
  readonly metadata: Record<string, string>;
}

/** The bytes of a recording after a change to its tensors or metadata. */
export function rewritten(
  name: string,
  change: (draft: Draft) => void,
): Uint8Array {
  const { tensors, metadata } = decodeSafetensors(goldenFile(name));
  const draft = { tensors, metadata: { ...metadata } };
  change(draft);
  return encodeSafetensors(draft.tensors, draft.metadata);
}

/** Changes some fields of a JSON object in the metadata; undefined removes one. */
export function patch(
  { metadata }: Draft,
  key: string,
  fields: Record<string, unknown>,
): void {
  metadata[key] = JSON.stringify({ ...JSON.parse(metadata[key]!), ...fields });
}

/** Fails, with the whole table, unless everything in a file was understood and agrees. */
export async function assertVerified(
  name: string,
  bytes: Uint8Array,
  backend: Backend,
): Promise<Outcome> {
  const outcome = await verifyFile(bytes, backend);
  if (!outcome.passed) fail(formatOutcome(name, outcome));
  return outcome;
}

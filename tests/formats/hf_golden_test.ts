/**
 * Hugging Face's folders against PyTorch: `golden/hf/` has small random models in the hub's layout with the logits
 * that transformers' definitions give (`bench/peers/hf_models.py`). Imported, they have these logits; exported again,
 * they are the same folders. So an exported folder has the logits of its model there.
 */

import { assert, assertEquals } from "@std/assert";
import { openReference } from "../../lib/backends/reference.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import type { Checkpoint } from "../../lib/formats/checkpoint.ts";
import { exportCheckpoint } from "../../lib/export/exports.ts";
import { floatsOf } from "../../lib/formats/floats.ts";
import { importHf } from "../../lib/formats/hf.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type TensorData,
} from "../../lib/formats/safetensors.ts";
import { Model } from "../../lib/model/model.ts";
import { bytesOf, folderOf } from "../fixtures/exported_files.ts";

const folder = new URL("../golden/hf/", import.meta.url);
const names = Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

/** A recorded folder. */
interface Recording {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, TensorData>;
  readonly tokens: Int32Array;
  readonly logits: Float32Array;
}

function recordingOf(name: string): Recording {
  const bytes = Deno.readFileSync(new URL(name, folder));
  const { tensors, metadata } = decodeSafetensors(bytes);
  const [tokens, logits] = ["tokens", "logits"].map((part) => {
    const { data } = tensors.get(part)!;
    tensors.delete(part);
    return data;
  });
  return {
    config: JSON.parse(metadata["config"]!),
    tensors,
    tokens: tokens as Int32Array,
    logits: logits as Float32Array,
  };
}

async function imported(
  { config, tensors }: Pick<Recording, "config" | "tensors">,
): Promise<Checkpoint> {
  const files = new Map([
    ["config.json", new TextEncoder().encode(JSON.stringify(config))],
    ["model.safetensors", encodeSafetensors(tensors)],
  ]);
  return (await importHf(folderOf(files))).checkpoint;
}

/** Returns the largest difference from the recorded logits. */
async function difference(
  checkpoint: Checkpoint,
  { tokens, logits }: Recording,
  open: () => Parameters<typeof Model.load>[1],
): Promise<number> {
  await using model = await Model.load(checkpoint, open());
  const found = await model.forward(tokens, { B: 1, T: tokens.length });
  assertEquals(found.length, logits.length);
  return logits.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - found[i]!)),
    0,
  );
}

for (const name of names) {
  Deno.test(`The folder ${name} has PyTorch's logits, and is exported as it was`, async () => {
    const recording = recordingOf(name);
    const checkpoint = await imported(recording);
    await using reference = openReference();
    await using wasm = await openWasm({ threads: 1 });
    // Logits up to 5.4, recorded in float32: half of a last place is 2.4e-7. In float32, as for other recordings.
    const most = Math.max(...recording.logits.map(Math.abs));
    for (
      const [backend, tolerance] of [
        [reference, 5e-7],
        [wasm, 1e-5 * most],
      ] as const
    ) {
      const found = await difference(
        checkpoint,
        recording,
        () => ({ backend }),
      );
      assert(found <= tolerance, `${backend.kind}: ${found}`);
    }
    const files = bytesOf(exportCheckpoint("hf", checkpoint));
    const { tensors } = decodeSafetensors(files.get("model.safetensors")!);
    assertEquals(
      [...tensors.keys()].sort(),
      [...recording.tensors.keys()].sort(),
    );
    for (const [name, tensor] of recording.tensors) {
      const { shape, data } = tensors.get(name)!;
      assertEquals([shape, data], [tensor.shape, floatsOf(name, tensor)], name);
    }
    const config = JSON.parse(
      new TextDecoder().decode(files.get("config.json")),
    );
    for (const [field, value] of Object.entries(recording.config)) {
      // The default of n_inner is written as a number.
      if (value !== null) assertEquals(config[field], value, field);
    }
  });
}

Deno.test("Rotary pairs of the wrong kind, or another base, give other logits", async () => {
  const recording = recordingOf("llama3.safetensors");
  const checkpoint = await imported(recording);
  for (
    const change of [
      { position: "rope" },
      { ropeTheta: 101 },
      { ropeScaling: null },
      { ropeContext: 63 },
      { normEps: 1e-4 },
    ] as const
  ) {
    const config = { ...checkpoint.config, ...change };
    const found = await difference(
      { ...checkpoint, config },
      recording,
      () => ({ device: "reference" }),
    );
    assert(found > 1e-5, `${JSON.stringify(change)}: ${found}`);
  }
});

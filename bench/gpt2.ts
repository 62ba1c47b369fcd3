/**
 * Times text of a model with GPT-2's shapes, 124 million random weights, and measures its memory, from a checkpoint file
 * that is read in pieces, as `sample` reads it.
 *
 *     deno run -A bench/gpt2.ts [--tokens 50] [--prompt 100] [--device wasm] [--blas auto]
 *
 * Prints wall time and processor time of a token. Where other programs share the machine, the processor time divided by
 * the threads is the better estimate for a quiet one.
 */

import { fromFileUrl } from "@std/path";
import process from "node:process";
import type { Device } from "../lib/backends/open.ts";
import { randomIds } from "../lib/checks/variants.ts";
import { OpenFile } from "../lib/cli/run/files.ts";
import { modelConfig } from "../lib/config/model.ts";
import { checkpointPieces, openCheckpoint } from "../lib/formats/checkpoint.ts";
import { Model } from "../lib/model/model.ts";
import { initialParameters } from "../lib/model/parameters.ts";
import { parameterLayout } from "../lib/model/plans.ts";
import { readFlags } from "../tools/flags.ts";

const { flags } = readFlags({
  ...{ tokens: "50", prompt: "100", device: "wasm", blas: "auto" },
  write: undefined,
});
const config = modelConfig({
  ...{ vocabSize: 50257, blockSize: 1024, nLayer: 12, nHead: 12 },
  ...{ nEmbd: 768, position: "learned", tiedHead: true },
});
const layout = parameterLayout(config);
if (flags.write === undefined) await measure();
else await write(flags.write);

/** Writes the checkpoint. */
async function write(path: string): Promise<void> {
  const flat = initialParameters(layout, 1);
  const tensors = new Map(
    layout.entries.map(({ name, shape, offset, length }) => {
      const data = flat.subarray(offset, offset + length);
      return [name, { dtype: "F32", shape, data }] as const;
    }),
  );
  const pieces = checkpointPieces({ config, tensors });
  await Deno.writeFile(path, ReadableStream.from(pieces));
}

async function measure(): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    // In a process of its own, whose memory does not count.
    await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", fromFileUrl(import.meta.url), "--write", path],
    }).output();
    await measureFile(path);
  } finally {
    await Deno.remove(path);
  }
}

async function measureFile(path: string): Promise<void> {
  let most = 0;
  const look = () => most = Math.max(most, Deno.memoryUsage().rss);
  look();
  const before = most;
  using file = await OpenFile.open(path);
  const begun = performance.now();
  const { device, blas } = flags as { device: Device; blas: string };
  await using model = await Model.load(await openCheckpoint(file), {
    ...{ device, blas },
  });
  look();
  console.log(model.backend.description);
  console.log(`load: ${Math.round(performance.now() - begun)} ms`);
  const prompt = randomIds(Number(flags.prompt), config);
  const count = Number(flags.tokens);
  let [wall, cpu, tokens] = [performance.now(), process.cpuUsage(), 0];
  const report = (what: string, per: number) => {
    const { user, system } = process.cpuUsage(cpu);
    const ms = (value: number) => (value / per).toFixed(1);
    const processors = ms((user + system) / 1000);
    const passed = ms(performance.now() - wall);
    console.log(`${what}: ${passed} ms, of processors ${processors} ms`);
    [wall, cpu] = [performance.now(), process.cpuUsage()];
  };
  for await (const _ of model.generate(prompt, { maxNewTokens: count + 2 })) {
    look();
    // The second token compiles.
    if (++tokens === 1) report(`prompt of ${prompt.length} tokens`, 1);
    if (tokens === 2) [wall, cpu] = [performance.now(), process.cpuUsage()];
  }
  report("a token", count);
  const weights = 4 * layout.count;
  const mb = (bytes: number) => Math.round(bytes / 1e6);
  console.log(
    `memory: ${mb(most)} MB, ${(most / weights).toFixed(2)} times the ${
      mb(weights)
    } MB of weights; ${mb(before)} MB before the model`,
  );
}

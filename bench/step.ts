/**
 * Times a training step of a preset: the median of whole steps, and where the time
 * goes, kernel by kernel.
 *
 *     deno run -A bench/step.ts [--device wasm|webgpu] [--threads 2] [--preset original]
 *       [--blas auto|off|PATH] [--steps 10] [--rounds 5] [--tiling register|workgroup]
 */

import { openWasm } from "../lib/backends/wasm/engine.ts";
import { openWebGpu } from "../lib/backends/webgpu/engine.ts";
import type { PresetName } from "../lib/config/presets.ts";
import { readFlags } from "../tools/flags.ts";
import { timeOps, timeSteps } from "./gpu/steps.ts";

const { flags } = readFlags({
  ...{ device: "wasm", preset: "original", steps: "10", rounds: "5" },
  ...{ blas: "auto", threads: undefined, tiling: undefined },
});
const tiling = flags.tiling as "register" | "workgroup" | undefined;
const threads = {
  blas: flags.blas,
  ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
};
const preset = flags.preset as PresetName;
const [steps, rounds] = [Number(flags.steps), Number(flags.rounds)];

/** Opens a backend whose programs can be timed. */
async function open(profile: boolean) {
  return flags.device === "wasm"
    ? await openWasm(threads)
    : await openWebGpu({ adapter: "any", profile, tiling });
}

{
  await using backend = await open(false);
  const time = await timeSteps(backend, preset, { steps, rounds });
  const { parameters, tokens, firstMs, bytes, ms, gflops } = time;
  console.log(`${backend.description}, preset ${preset}`);
  console.log(
    `${parameters} parameters, ${tokens} tokens a step; compiled and run once in ${
      firstMs.toFixed(0)
    } ms; ${(bytes / 1e6).toFixed(0)} MB on the device`,
  );
  const each = time.rounds.map((ms) => ms.toFixed(0)).join(" ");
  console.log(
    `${
      ms.toFixed(1)
    } ms a step (median of ${rounds} rounds of ${steps}; ${each}), ${
      gflops.toFixed(1)
    } GFLOP/s, ${(1000 * tokens / ms).toFixed(0)} tokens/s`,
  );
}
{
  await using backend = await open(true);
  const rows = await timeOps(backend, preset, 4 * rounds);
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  for (const { name, count, ms, gflops, gigabytes } of rows) {
    const rate = gflops > 0
      ? `${gflops.toFixed(1).padStart(8)} GFLOP/s`
      : `${gigabytes.toFixed(1).padStart(8)} GB/s   `;
    console.log(
      `${name.padEnd(26)} ${String(count).padStart(3)} x ${
        (ms / count).toFixed(3).padStart(8)
      } ms ${ms.toFixed(2).padStart(8)} ms ${rate} ${
        (100 * ms / total).toFixed(1).padStart(5)
      } %`,
    );
  }
  console.log(`${total.toFixed(1)} ms in kernels`);
}

/**
 * Trains the preset tiny for long, as `train` does, with its files, evaluations, samples
 * and checkpoints, and reports whether memory grows or steps become slower:
 *
 *     deno task soak [--steps 20000] [--device wasm|webgpu]
 *
 * Exits 1 if memory grew by 2 % or more in the last half of the run, or if steps
 * became over 10 % slower from its second quarter to its last; 2 on a mistake in the
 * command line.
 *
 * Memory is what is resident after a garbage collection, in a process whose young
 * generation has one small size and whose functions are compiled once, when they are first
 * called (the flags in deno.json). Left alone, V8 collects and resizes at its own time, in
 * jumps of tens of megabytes that hide a leak or look like one; and it optimizes the functions
 * of an evaluation, say, when there were thousands of steps already, which takes memory too.
 * The engine's WebAssembly is compiled as ever.
 * Other work on the machine makes steps take longer by the clock, but not so much in CPU
 * time: steps count as slower only if they are by both.
 */

import { join } from "@std/path";
import { cpuUsage } from "node:process";
import { main } from "../lib/cli/command/main.ts";
import { files } from "../lib/cli/run/directory.ts";
import { presets } from "../lib/config/presets.ts";
import { readFlags, refuseArguments } from "./flags.ts";
import { judge, type Step, type Usage, type Watched } from "./soak/verdict.ts";

/** Steps between two looks at the memory, and between evaluations, samples and checkpoints. */
const STRIDE = 500;
/** Milliseconds of CPU time between two measurements, each of which takes about ten. */
const MEASURE_CPU_MS = 500;
/** Milliseconds between two checks whether a measurement is due. */
const LOOK_MS = 100;

const usage = `Usage: deno task soak [--steps N] [--device wasm|webgpu]

Trains the preset tiny for long and watches its memory and its speed.

  --steps N       optimizer steps: 20000 (the default) or another multiple of ${
  4 * STRIDE
}
  --device NAME   where to compute: wasm (the default) or webgpu
  --help          this text`;

/** Returns V8's garbage collector, which a flag exposes. */
function collector(): () => void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc !== undefined) return gc;
  refuseArguments(
    "the garbage collector is out of reach; deno task soak has the flags for it",
    usage,
  );
}

/**
 * Returns resident memory without pages mapped from files, such as the code of the runtime, of
 * which the system keeps as many as it likes. Only Linux distinguishes the two.
 */
function residentBytes(): number {
  if (Deno.build.os !== "linux") return Deno.memoryUsage().rss;
  const status = Deno.readTextFileSync("/proc/self/status");
  const kilobytes = ["RssAnon", "RssShmem", "VmSwap"].map((name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)![1])
  );
  return 1024 * kilobytes.reduce((sum, value) => sum + value);
}

/** Returns the CPU time of all threads of this process so far, in milliseconds. */
function cpuMs(): number {
  const { user, system } = cpuUsage(); // microseconds
  return (user + system) / 1000;
}

/** Trains; returns the exit code if that failed. */
async function train(
  steps: number,
  device: string,
  collectGarbage: () => void,
): Promise<Watched | number> {
  const directory = await Deno.makeTempDir();
  const out = join(directory, "run");
  const usages: Usage[] = [];
  const measure = () => {
    collectGarbage();
    const time = Date.now() / 1000;
    usages.push({ time, residentBytes: residentBytes(), cpuMs: cpuMs() });
  };
  const timer = setInterval(() => {
    if (cpuMs() - (usages.at(-1)?.cpuMs ?? 0) >= MEASURE_CPU_MS) measure();
  }, LOOK_MS);
  try {
    const code = await main([
      ...["train", "--preset", "tiny", "--device", device, "--out", out],
      ...["--steps", String(steps), "--eval-interval", String(STRIDE)],
      ...["--sample-interval", String(STRIDE)],
      ...["--checkpoint-interval", String(STRIDE)],
    ]);
    if (code !== 0) return code;
    measure();
    const { model, train } = presets.tiny;
    return {
      steps: stepsOf(await Deno.readTextFile(join(out, files.metrics))),
      usages,
      stride: STRIDE,
      tokens: train.batchSize! * model.blockSize!,
    };
  } finally {
    clearInterval(timer);
    await Deno.remove(directory, { recursive: true });
  }
}

function stepsOf(metrics: string): Step[] {
  return metrics.trimEnd().split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "step");
}

const { flags: { steps, device } } = readFlags(
  { steps: "20000", device: "wasm" },
  usage,
);
if (device !== "wasm" && device !== "webgpu") {
  refuseArguments(`device "${device}" is neither wasm nor webgpu`, usage);
}
if (!/^\d+$/.test(steps) || +steps < 1 || +steps % (4 * STRIDE) !== 0) {
  refuseArguments(`steps (${steps}) is not a multiple of ${4 * STRIDE}`, usage);
}
const outcome = await train(Number(steps), device, collector());
if (typeof outcome === "number") Deno.exit(outcome);
const { lines, passed } = judge(outcome);
console.log(lines.join("\n"));
Deno.exit(passed ? 0 : 1);

/**
 * Times the command line from outside, as a user sees it: from the start of the
 * process to the first finished training step and to the first generated character,
 * and how resident memory grows over a long run (Linux).
 *
 *     deno run -A bench/command.ts [--rounds 5] [--steps 2000] [--device webgpu]
 */

import { join } from "@std/path";
import { readFlags } from "../tools/flags.ts";

const { flags } = readFlags({ rounds: "5", steps: "2000", device: "auto" });
const directory = await Deno.makeTempDir();
const run = join(directory, "run");

function spawn(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli.ts", ...args, "--device", flags.device],
    stdout: "piped",
    stderr: "null",
  }).spawn();
}

/** Returns the milliseconds until the process's output satisfies `isThere`; then ends the process. */
async function timeTo(
  isThere: (output: string) => boolean,
  ...args: string[]
): Promise<number> {
  const begun = performance.now();
  const child = spawn(...args);
  let output = "";
  let milliseconds = NaN;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    if (Number.isNaN(milliseconds) && isThere(output)) {
      milliseconds = performance.now() - begun;
      child.kill("SIGKILL");
    }
  }
  await child.status;
  return milliseconds;
}

async function report(name: string, time: () => Promise<number>) {
  await time(); // warm caches
  const times: number[] = [];
  for (let i = 0; i < Number(flags.rounds); i++) times.push(await time());
  times.sort((a, b) => a - b);
  console.log(
    `${name}: ${
      times[times.length >> 1]!.toFixed(0)
    } ms (median of ${times.length}; ${
      times.map((ms) => ms.toFixed(0)).join(" ")
    })`,
  );
}

let number = 0;
for (const preset of ["original", "tiny"]) {
  await report(`train --preset ${preset}, first finished step`, () => {
    const out = join(directory, String(number++));
    const isThere = (output: string) => output.includes('"event":"step"');
    return timeTo(isThere, "train", "--preset", preset, "--json", "--out", out);
  });
}

await spawn("train", "--preset", "original", "--steps", "2", "--out", run)
  .output();
await report(
  "sample of an original model, first character",
  () => timeTo((output) => output.length > 0, "sample", run, "--tokens", "50"),
);

const memory: { step: number; megabytes: number }[] = [];
const out = join(directory, "long");
const long = spawn(
  ...["train", "--preset", "tiny", "--steps", flags.steps, "--json"],
  ...["--eval-interval", "0", "--sample-interval", "0", "--out", out],
);
let rest = "";
for await (const text of long.stdout.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    const event = JSON.parse(line);
    if (event.event !== "step" || event.step % 200 !== 0) continue;
    const status = await Deno.readTextFile(`/proc/${long.pid}/status`);
    const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
    memory.push({ step: event.step, megabytes: kilobytes / 1024 });
  }
}
console.log(
  `train --preset tiny, resident MB by step: ${
    memory.map(({ step, megabytes }) => `${step}: ${megabytes.toFixed(0)}`)
      .join(", ")
  }`,
);
await Deno.remove(directory, { recursive: true });

/**
 * Times the command line from outside, as a user sees it: from the start of the
 * process to the first finished training step and to the first generated character.
 * `deno task soak` watches memory.
 *
 *     deno run -A bench/command.ts [--rounds 5] [--device webgpu] [--blas off]
 */

import { join } from "@std/path";
import { readFlags } from "../tools/flags.ts";
import { median } from "../tools/soak/trend.ts";

const { flags } = readFlags({
  ...{ rounds: "5", device: "auto", blas: "auto" },
});
const directory = await Deno.makeTempDir();
const run = join(directory, "run");

function spawn(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "cli.ts", ...args],
      ...["--device", flags.device, "--blas", flags.blas],
    ],
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
  console.log(
    `${name}: ${median(times).toFixed(0)} ms (median of ${times.length}; ${
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

await Deno.remove(directory, { recursive: true });

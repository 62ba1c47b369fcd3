/** Runs `lm`'s own command line, for measurements from outside the process. */

import { fromFileUrl } from "@std/path";
import { answers, type PeerOptions } from "./peer.ts";
import { type Answer, peakMegabytes } from "./protocol.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));

/** Trains until step `steps` is reported; gives the time since the start and the peak memory. */
export async function trainCommand(
  preset: string,
  steps: number,
  { device, threads, cliThreads }: PeerOptions & { cliThreads: boolean },
): Promise<Answer> {
  const out = await Deno.makeTempDir();
  const begun = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    cwd: root,
    args: [
      ...["run", "-A", "cli.ts", "train", "--json", "--preset", preset],
      ...["--device", device, "--out", `${out}/run`],
      ...["--eval-interval", "0", "--sample-interval", "0"],
      ...(cliThreads ? ["--threads", threads] : []),
    ],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const complaint = new Response(child.stderr).text();
  let answer: Answer | undefined;
  for await (const event of answers(child.stdout)) {
    if (answer || event.event !== "step" || Number(event.step) < steps) {
      continue;
    }
    answer = {
      milliseconds: performance.now() - begun,
      peakMegabytes: peakMegabytes(child.pid),
    };
    child.kill("SIGKILL");
  }
  await child.status;
  await Deno.remove(out, { recursive: true });
  const lines = (await complaint).trim().split("\n");
  return answer ?? { error: lines.at(-1)! };
}

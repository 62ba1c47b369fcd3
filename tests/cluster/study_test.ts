/**
 * The scripts of `examples/cluster/`. `tools/slurm_rehearsal.ts` runs the one for Slurm under Slurm, and
 * `tests/interop/kubernetes_test.ts` validates the manifest.
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";

const script = fromFileUrl(
  new URL("../../examples/cluster/study.sbatch", import.meta.url),
);

Deno.test({
  name:
    "The Slurm array runs each shard of a study once, also a task that is submitted alone",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const text = await Deno.readTextFile(script);
    const [, tasks] = /^#SBATCH --array=1-(\d+)$/m.exec(text)!;
    const directory = await Deno.makeTempDir({ prefix: "lm-" });
    try {
      // In place of the program, one that prints what it is given.
      const stub = '#!/bin/sh\necho "$@"\n';
      await Deno.writeTextFile(join(directory, "lm"), stub, { mode: 0o755 });
      const run = async (args: string[], env: Record<string, string>) => {
        const { code, stdout, stderr } = await new Deno.Command("bash", {
          args: [script, ...args],
          env: { PATH: `${directory}:${Deno.env.get("PATH")}`, ...env },
        }).output();
        const print = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
        return { code, stdout: print(stdout), stderr: print(stderr) };
      };
      const third = { SLURM_ARRAY_TASK_ID: "3", SLURM_CPUS_PER_TASK: "2" };
      assertEquals(
        (await run(["a study"], third)).stdout,
        `lab run a study --shard 3/${tasks} --device wasm --threads 2\n`,
      );
      const more = await run(["study"], { ...third, SHARDS: "64" });
      assertStringIncludes(more.stdout, "--shard 3/64 ");
      const without = await run([], third);
      assertEquals(without.code, 1);
      assertStringIncludes(without.stderr, "usage: sbatch study.sbatch STUDY");
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

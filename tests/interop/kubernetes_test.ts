/** The manifest of `examples/cluster/` against Kubernetes' schemas, and its command in a shell. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { interopTest, runScript } from "./programs.ts";

const here = fromFileUrl(new URL(".", import.meta.url));
const manifest = join(here, "../../examples/cluster/study-job.yaml");

/** A manifest's documents. */
// deno-lint-ignore no-explicit-any
async function validated(path: string): Promise<any[]> {
  // deno-lint-ignore no-explicit-any
  return await runScript("kubernetes.mjs", { args: [path] }) as any[];
}

/** Returns the errors of a compiler that knows all fields of the objects; a schema accepts unknown ones. */
async function typeErrors(documents: readonly unknown[]): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "lm-" });
  try {
    await Deno.symlink(
      join(here, "node_modules"),
      join(directory, "node_modules"),
    );
    await Deno.copyFile(
      join(here, "package.json"),
      join(directory, "package.json"),
    );
    await Deno.writeTextFile(
      join(directory, "manifest.ts"),
      `import type { IJob } from "kubernetes-models/batch/v1";
import type { IPersistentVolumeClaim } from "kubernetes-models/v1";
export const claim: IPersistentVolumeClaim = ${JSON.stringify(documents[0])};
export const job: IJob = ${JSON.stringify(documents[1])};
`,
    );
    const args = "check --no-config --node-modules-dir=manual manifest.ts";
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: args.split(" "),
      cwd: directory,
      env: { NO_COLOR: "1" },
    }).output();
    return success ? "" : new TextDecoder().decode(stderr);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

interopTest(
  "The manifest of a study is what Kubernetes' schemas and types describe",
  async () => {
    const documents = await validated(manifest);
    assertEquals(await typeErrors(documents), "");

    // Both can fail.
    const directory = await Deno.makeTempDir({ prefix: "lm-" });
    try {
      const text = await Deno.readTextFile(manifest);
      const wrong = join(directory, "wrong.yaml");
      await Deno.writeTextFile(
        wrong,
        text.replace("completions: 16", "completions: many"),
      );
      await assertRejects(() => validated(wrong), Error, "completions");
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
    documents[1].spec.template.spec.containers[0].volumeMount = [];
    assertStringIncludes(await typeErrors(documents), "volumeMount");
  },
);

interopTest(
  "The pods of the manifest run each shard once, on the volume that the job claims",
  async () => {
    const [claim, { spec }] = await validated(manifest);
    const { containers: [container], volumes } = spec.template.spec;
    assertEquals(
      volumes[0].persistentVolumeClaim.claimName,
      claim.metadata.name,
    );
    assertEquals(container.volumeMounts[0].name, volumes[0].name);
    const [, version] = /^deno (\S+)/m.exec(
      await Deno.readTextFile(join(here, "../../.tool-versions")),
    )!;
    assertEquals(container.image, `denoland/deno:${version}`);

    const directory = await Deno.makeTempDir({ prefix: "lm-" });
    try {
      // In place of the program, one that prints what it is given.
      const stub = join(directory, "deno");
      await Deno.writeTextFile(stub, '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
      const [program, ...args] = [...container.command, ...container.args];
      const shards = [];
      for (let index = 0; index < spec.completions; index++) {
        const { stdout } = await new Deno.Command(program, {
          args,
          env: { PATH: directory, JOB_COMPLETION_INDEX: String(index) },
        }).output();
        const line = new TextDecoder().decode(stdout);
        assertStringIncludes(line, "lab run study --shard ");
        shards.push(/--shard (\S+)/.exec(line)![1]);
      }
      const expected = shards.map((_, i) => `${i + 1}/${spec.completions}`);
      assertEquals(shards, expected);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

/** One topic map: a kernel stands in the file of the same name on every side. */

import { assert, assertEquals } from "@std/assert";
import { referenceKernels } from "../../kernels/reference/registry.ts";
import { builders as wasm } from "../../kernels/wasm/registry.ts";
import { builders as wgsl } from "../../kernels/wgsl/registry.ts";
import { signatures } from "../../kernels/vocabulary.ts";

const root = new URL("../../kernels/", import.meta.url);

/** The files that a registry takes kernels from, each with the kernels in it. */
async function topicsOf(
  folder: string,
  registry: Readonly<Record<string, unknown>>,
): Promise<Record<string, string[]>> {
  const kernels = Object.keys(signatures);
  const text = await Deno.readTextFile(new URL(`${folder}/registry.ts`, root));
  const files = [
    ...text.matchAll(/^import \* as \w+ from "\.\/(\w+)\.ts";$/gm),
  ];
  const topics: Record<string, string[]> = {};
  for (const [, topic] of files) {
    const module = await import(new URL(`${folder}/${topic}.ts`, root).href);
    topics[topic!] = [...kernels].filter((name) =>
      module[name] !== undefined && module[name] === registry[name]
    ).sort();
  }
  assertEquals(
    Object.values(topics).flat().sort(),
    [...kernels].sort(),
    folder,
  );
  return topics;
}

Deno.test("Every kernel stands under the same topic in the reference, in WGSL and in wasm", async () => {
  const topics = await topicsOf("reference", referenceKernels);
  assertEquals(await topicsOf("wgsl", wgsl), topics);
  assertEquals(await topicsOf("wasm", wasm), topics);
});

Deno.test("The assembly has a file for every topic, and no kernel under another one", async () => {
  const topics = await topicsOf("wasm", wasm);
  const folder = new URL("wasm/assembly/", root);
  const texts = new Map<string, string>();
  for await (const { name } of Deno.readDir(folder)) {
    texts.set(name, await Deno.readTextFile(new URL(name, folder)));
  }
  for (const [topic, kernels] of Object.entries(topics)) {
    assert(texts.has(`${topic}.ts`), `assembly/${topic}.ts is missing`);
    for (const [name, text] of texts) {
      const here = kernels.filter((kernel) =>
        text.includes(`export function ${kernel}(`)
      );
      // A long topic may have parts: attention_backward.ts belongs to attention.
      const belongs = name === `${topic}.ts` || name.startsWith(`${topic}_`);
      if (!belongs) assertEquals(here, [], `assembly/${name}`);
    }
  }
});

/** That the mistakes of tools/mutations.ts still fit the program, and that docs/mutations.md lists them. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { caughtAtFirst, mutationRows } from "../tools/mutations/page.ts";
import { mutations, plant } from "../tools/mutations/table.ts";

const root = fromFileUrl(new URL("../", import.meta.url));

Deno.test("Every mutation has a place in its file, and a name of its own", async () => {
  const names = new Set<string>();
  for (const mutation of mutations) {
    const text = await Deno.readTextFile(join(root, mutation.file));
    assert(plant(mutation, text) !== text, mutation.name);
    assert(!names.has(mutation.name), mutation.name);
    names.add(mutation.name);
  }
});

Deno.test("Every mutation names a test that there is", async () => {
  const texts = new Map<string, string>();
  const read = async (folder: string) => {
    for await (const { name, isFile } of Deno.readDir(join(root, folder))) {
      const path = `${folder}/${name}`;
      if (!isFile) await read(path);
      else if (name.endsWith(".ts")) {
        texts.set(path, await Deno.readTextFile(join(root, path)));
      }
    }
  };
  await read("tests");
  const suites = [...texts.values()].join("");
  for (const { name: mutation, test: { file, name, step } } of mutations) {
    assert(texts.has(file), `${mutation}: ${file}`);
    // The conformance suite makes its names from the kernels'.
    if (/^\w+ agrees with the float64 reference on /.test(name)) continue;
    assertStringIncludes(suites, name, mutation);
    assertStringIncludes(suites, step ?? name, mutation);
  }
});

Deno.test("docs/mutations.md lists every mutation, and counts those caught at first", async () => {
  const page = await Deno.readTextFile(join(root, "docs/mutations.md"));
  const rows = page.split("\n").filter((line) => line.startsWith("|")).slice(2);
  const plain = (row: string) => row.replace(/ +/g, " ").replaceAll("\\", "");
  assertEquals(rows.map(plain), mutationRows().map(plain));
  assertStringIncludes(page, `**${caughtAtFirst()} were caught at first**`);
});

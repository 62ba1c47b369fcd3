/** That the mistakes of tools/mutations.ts still fit the program, and that docs/mutations.md lists them. */

import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { mutationsPage } from "../../tools/mutations/page.ts";
import { plant, readMutations } from "../../tools/mutations/table.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const parts = await readMutations();
const mutations = [...parts.values()].flat();

Deno.test("Every mutation fits its file once and has a unique name", async () => {
  // All at once: a change of the program may move several.
  const lost: string[] = [];
  for (const mutation of mutations) {
    try {
      const text = await Deno.readTextFile(join(root, mutation.file));
      assert(
        plant(mutation, text) !== text,
        `${mutation.name} changes nothing`,
      );
    } catch (error) {
      lost.push((error as Error).message);
    }
  }
  assertEquals(lost, []);
  const names = new Set(mutations.map(({ name }) => name));
  assertEquals(names.size, mutations.length);
  assert(names.size > 200);
});

Deno.test("Every mutation names an existing test", async () => {
  const texts = new Map<string, string>();
  const read = async (folder: string) => {
    for await (const { name, isFile } of Deno.readDir(join(root, folder))) {
      if (name === "node_modules") continue;
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
    // Some names are put together from pieces: three words in a row suffice.
    const words = (step ?? name).split(" ");
    const isThere = words.some((_, i) =>
      suites.includes(words.slice(i, i + 3).join(" ")) && i + 3 <= words.length
    );
    assert(isThere, `${mutation}: ${step ?? name}`);
  }
});

Deno.test("docs/mutations.md is up to date", async () => {
  const page = await Deno.readTextFile(join(root, "docs/mutations.md"));
  const plain = (text: string) =>
    text.replace(/[\s\\]+/g, " ").replace(/-{3,}/g, "---").trim();
  assertEquals(plain(page), plain(mutationsPage(parts)));
});

/** That the documents repeat the numbers of the data beside them, and that their links and paths exist. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";

const root = fromFileUrl(new URL("../", import.meta.url));

function read(path: string): Promise<string> {
  return Deno.readTextFile(join(root, path));
}

async function cellsOf(study: string): Promise<number> {
  return JSON.parse(await read(`docs/${study}/plan.json`)).cells.length;
}

Deno.test("The studies' pages give the number of changes that their plans have", async () => {
  const lab = await read("docs/lab/README.md");
  const results = await read("bench/RESULTS.md");
  const recipe = await read("docs/recipe.md");
  const said: [page: string, pattern: RegExp, study: string][] = [
    [lab, /\*\*ablate\*\* — (\d+) changes/, "lab/ablate"],
    [lab, /\*\*ablate-original\*\* — (\d+) changes/, "lab/ablate-original"],
    [
      results,
      /--preset original --steps 200`, (\d+) changes/,
      "lab/ablate-original",
    ],
    [recipe, /changes (\d+) things/, "recipe/parts"],
  ];
  for (const [page, pattern, study] of said) {
    // One cell is the baseline, which changes nothing.
    assertEquals(Number(pattern.exec(page)?.[1]), await cellsOf(study) - 1);
  }
});

Deno.test("The front page has the loss and the times of the default run", async () => {
  const readme = await read("README.md");
  const results = await read("bench/RESULTS.md");
  const [, exact, time] = /^\| `train` +\| +(\S+) \|.*\| (\d:\d\d)\.\d \|/m
    .exec(results)!;
  const loss = Number(exact).toFixed(3);
  assertMatch(
    readme,
    RegExp(`^\\| .train. .*\\| +${loss} \\| +${time} \\|`, "m"),
  );
});

Deno.test("No page has a placeholder left", async () => {
  const pages = ["README.md", "bench/RESULTS.md"];
  const folders = ["docs"];
  for (const folder of folders) {
    for await (
      const { name, isDirectory } of Deno.readDir(join(root, folder))
    ) {
      if (isDirectory) folders.push(`${folder}/${name}`);
      else if (name.endsWith(".md")) pages.push(`${folder}/${name}`);
    }
  }
  for (const page of pages) {
    assertEquals(
      (await read(page)).match(/^@\w+$|\bT[O]DO\b|\bX{3}\b/m),
      null,
      page,
    );
  }
});

/** Folders at the root whose files are not the repository's. */
const foreign = ["runs", "shared", "site", "studies"];

/** Paths of the repository's files below a folder, from its root. */
async function* filesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (!isDirectory) yield path;
    else if (
      name !== "node_modules" && !name.startsWith(".") &&
      !foreign.includes(path)
    ) yield* filesIn(path);
  }
}

Deno.test("Every link and every path in the documents leads to a file of the repository", async () => {
  const files = await Array.fromAsync(filesIn(""));
  const names = new Set(files.map((path) => path.split("/").at(-1)));
  const isThere = (path: string) =>
    Deno.stat(path).then(() => true, (error) => {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    });
  const missing: string[] = [];
  let checked = 0;
  for (const page of files.filter((path) => path.endsWith(".md"))) {
    const text = await read(page);
    const paths: string[] = [];
    for (const [, link] of text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (!/^\w+:/.test(link!)) paths.push(join(root, dirname(page), link!));
    }
    const fromRoot =
      /(?<![\w./-])(?:bench|data|docs|kernels|lib|tests|tools)\/(?:[\w.-]+\/)*[\w.-]*/g;
    for (const { 0: path, index } of text.matchAll(fromRoot)) {
      // Of `tools/mutations/*.txt` the folder, of "in docs/lab." the path.
      const isPart = /[*$…{]/.test(text[index + path.length] ?? "");
      const whole = path.replace(isPart ? /[^/]*$/ : /\.+$/, "");
      paths.push(join(root, whole));
    }
    for (const path of paths) {
      if (!await isThere(path)) missing.push(`${page}: ${path}`);
    }
    for (const [, name] of text.matchAll(/`([\w.-]+\.(?:ts|py))`/g)) {
      if (!names.has(name!)) missing.push(`${page}: ${name}`);
    }
    checked += paths.length;
  }
  assertEquals(missing, []);
  assert(checked > 500, `only ${checked} paths were found`);
});

Deno.test("Functions and types are in the files that the pages for contributors name", async () => {
  let places = 0;
  for (const page of ["CONTRIBUTING.md", "docs/design.md"]) {
    const text = await read(page);
    const items = text.matchAll(
      /^\d\. `(\w+\/[\w/]+\.ts)`:([^]*?)(?=^\d\. |\n\n)/gm,
    );
    const claims = [
      // `symbol` in `file` and `symbol` (`file`)
      ...text.matchAll(/`([\w.#]+)`\s+(?:in\s+|\()`(\w+\/[\w/]+\.ts)`/g),
      // an item of a list: `file`: … `symbol` …
      ...[...items].flatMap(([, path, words]) =>
        [...words!.matchAll(/`([\w.#]+)`/g)].map(([, name]) => ["", name, path])
      ),
    ];
    for (const [, symbol, path] of claims) {
      const file = await read(path!);
      for (const name of symbol!.split(".")) {
        assert(RegExp(`${name}\\b`).test(file), `${page}: ${name} in ${path}`);
        places++;
      }
    }
  }
  assert(places > 50, `${places} places`);
  const [, path, name] = /deno test -A (\S+) --filter "(.*)"/
    .exec(await read("CONTRIBUTING.md"))!;
  assertMatch(await read(path!), RegExp(`Deno\\.test\\(".*${name}`));
});

Deno.test("Every room of the linter is described in docs/design.md", async () => {
  const design = await read("docs/design.md");
  const [, rooms] = /^const rooms[^]*? = \{\n([^]*?)^\};/m
    .exec(await read("tools/lint_rooms.ts"))!;
  const keys = rooms!.matchAll(/^ {2}(?:"(.*?)"|(\w+)): \{/gm);
  const names = [...keys].map(([, quoted, word]) => quoted ?? word!);
  assert(names.length > 15, names.join());
  for (const name of names.filter((name) => !/,/.test(name))) {
    const [folder, ...rest] = name.split(/\/(?=[^/]+$)/);
    const isDescribed = [name, `${name}/`].some((path) =>
      design.includes(`\`${path}\``)
    ) || (design.includes(`\`${folder}/\``) && rest.every((part) =>
      RegExp(`\`${part}/?\``).test(design)
    ));
    assert(isDescribed, name);
  }
});

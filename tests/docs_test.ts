/** Numbers that the pages in docs/ repeat from the data beside them. */

import { assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl, join } from "@std/path";

const root = fromFileUrl(new URL("../", import.meta.url));

function read(path: string): Promise<string> {
  return Deno.readTextFile(join(root, path));
}

async function cellsOf(study: string): Promise<number> {
  return JSON.parse(await read(`docs/${study}/plan.json`)).cells.length;
}

Deno.test("The studies' pages count the changes that their plans have", async () => {
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
  const page = await read("docs/runs/default.html");
  const [said, taken] = /validation loss (\d\.\d+)[^<]*, in (\d:\d\d)\./
    .exec(page)!.slice(1);
  assertEquals(said, loss);
  const around = readme.slice(readme.indexOf("docs/runs/default.html"));
  assertEquals(around.slice(0, 300).includes(taken!), true, taken);
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

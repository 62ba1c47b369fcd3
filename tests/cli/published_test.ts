/** That what docs/ publishes of the lab says what the program makes of the recorded trials. */

import { assertEquals } from "@std/assert";
import { basename, dirname, join } from "@std/path";
import {
  type Contents,
  contentsOfMarkdown,
  contentsOfPage,
} from "./page_contents.ts";
import { cli, run, Workplace } from "./process.ts";

/** Reports name the program as it is called from here. */
const root = dirname(cli);

const docs = join(root, "docs");

const studies = ["lab", "recipe"].flatMap((folder) =>
  [...Deno.readDirSync(join(docs, folder))]
    .filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => join(docs, folder, name))
    .filter((path) =>
      namesIn(path).some((name) => /^(plan|findings)\.json$/.test(name))
    )
).toSorted();

for (const path of studies) {
  const study = `docs/${basename(dirname(path))}/${basename(path)}`;
  Deno.test(`The reports of ${study} are those of its trials`, async () => {
    await using here = await Workplace.create();
    await copyKept(path, here.file("study"));
    const { code, stderr } = await run(
      ["lab", "report", here.file("study")],
      { cwd: root, permissions: ["--deny-net"] },
    );
    assertEquals(code, 0, stderr);
    await assertSame(path, here.file("study"));
  });
}

const shakespeare = Deno.env.get("LM_DATA_DIR") !== undefined;

Deno.test({
  name: "The reports of docs/lab/minimal are those of its trials" +
    (shakespeare ? "" : " (skipped: LM_DATA_DIR is not set)"),
  ignore: !shakespeare,
  fn: async () => {
    await using here = await Workplace.create();
    const path = join(docs, "lab", "minimal");
    await copyKept(path, here.file("minimal"));
    const readme = await Deno.readTextFile(join(docs, "lab", "README.md"));
    // The line has directories of its own: studies/NAME.
    const line = /^deno run -A cli\.ts (lab minimal .*--with .*)$/m.exec(
      readme,
    )!;
    const args = line[1]!.replaceAll("studies/", `${here.file("minimal")}/`)
      .split(" ");
    const { code, stderr } = await run(
      [...args, "--out", here.file("minimal")],
      { cwd: root },
    );
    assertEquals(code, 0, stderr);
    assertEquals(stderr.includes("validation loss"), false, "all were kept");
    await assertSame(path, here.file("minimal"));
  },
});

/** Reports, and the chart of the front page. */
const made = /^(report\.(md|html)|front\.svg)$/;

/** Copies a study without what is made of it. */
async function copyKept(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const [source, copy] = [join(from, name), join(to, name)];
    if (isDirectory) await copyKept(source, copy);
    else if (!made.test(name)) await Deno.copyFile(source, copy);
  }
}

/** Asserts that all that is made of a study says the same in both directories. */
async function assertSame(published: string, again: string): Promise<void> {
  for await (const { name } of Deno.readDir(published)) {
    if (!made.test(name)) continue;
    const [expected, actual] = await Promise.all(
      [published, again].map(async (path) =>
        contentsOf(name, await Deno.readTextFile(join(path, name)))
      ),
    );
    assertEquals(actual, expected, `${name} differs: make it again`);
  }
}

function contentsOf(name: string, text: string): Contents {
  return name.endsWith(".md") ? contentsOfMarkdown(text) : contentsOfPage(text);
}

function namesIn(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name);
}

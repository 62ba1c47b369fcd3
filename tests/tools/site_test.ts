/** That docs/ says of the studies what the program makes of their recorded trials, and that the site has all of them. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { parseHTML } from "linkedom";
import { buildSite } from "../../tools/site/build.ts";
import { made, studies } from "../../tools/site/studies.ts";
import {
  type Contents,
  contentsOfMarkdown,
  contentsOfPage,
  type PageElement,
} from "../cli/page_contents.ts";
import { writeSyntheticRun } from "../cli/report/synthetic_run.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const shakespeare = Deno.env.get("LM_DATA_DIR") !== undefined;

Deno.test({
  name:
    "The site has every study as its trials make it, as docs/ has it, a run, and the page that trains" +
    (shakespeare ? "" : " (skipped: LM_DATA_DIR is not set)"),
  ignore: !shakespeare,
  fn: async (t) => {
    const place = await Deno.makeTempDir({ prefix: "lm-" });
    try {
      const site = join(place, "site");
      await Deno.mkdir(site);
      await Deno.writeTextFile(join(site, "old.html"), "");
      await writeSyntheticRun(join(place, "a run"), { steps: 40 });
      await Array.fromAsync(buildSite(site, [join(place, "a run")]));
      for (const study of await studies()) {
        const made = join(site, study.replace("docs/", ""));
        await t.step(study, () => assertSame(join(root, study), made));
      }
      const index = await Deno.readTextFile(join(site, "index.html"));
      const { document } = parseHTML(index) as unknown as {
        document: PageElement;
      };
      const links = Array.from(
        document.querySelectorAll("td a"),
        (link) => decodeURI(link.getAttribute("href")!),
      );
      const files = await Array.fromAsync(pagesBelow(site, ""));
      assertEquals(links.toSorted(), files.toSorted());
      assertEquals(links.length, (await studies()).length + 2);
      const { textContent } = document.querySelector("main")!;
      assertStringIncludes(textContent, "Train and sample small GPT");
    } finally {
      await Deno.remove(place, { recursive: true });
    }
  },
});

/** Paths of the pages below a directory, without the index. */
async function* pagesBelow(
  directory: string,
  folder: string,
): AsyncGenerator<string> {
  for await (
    const { name, isDirectory } of Deno.readDir(join(directory, folder))
  ) {
    const path = join(folder, name);
    if (isDirectory) yield* pagesBelow(directory, path);
    else if (name.endsWith(".html") && path !== "index.html") yield path;
  }
}

/** Asserts that a study's reports say the same in both directories, and its page the same as its Markdown. */
async function assertSame(published: string, again: string): Promise<void> {
  let compared = 0;
  for await (const { name } of Deno.readDir(published)) {
    if (!made.test(name) || name === "report.html") continue;
    const [expected, actual] = await Promise.all(
      [published, again].map((path) => contentsOf(join(path, name))),
    );
    assertEquals(actual, expected, `${name} differs: make it again`);
    compared++;
  }
  assert(compared > 0, `nothing to compare in ${dirname(published)}`);
  const [page, text] = await Promise.all(
    ["report.html", "report.md"].map((name) => contentsOf(join(again, name))),
  );
  assertEquals(plain(page!), plain(text!));
  assert(page!.charts.length > 0 || page!.tables.length > 0);
}

async function contentsOf(path: string): Promise<Contents> {
  const text = await Deno.readTextFile(path);
  return path.endsWith(".md") ? contentsOfMarkdown(text) : contentsOfPage(text);
}

/** The cells of all tables, without marks of Markdown, rules and spaces. */
function plain({ tables }: Contents): string[][] {
  return tables.map((rows) =>
    rows.filter(([first]) => !/^-+:?$/.test(first!)).flatMap((cells) =>
      cells.map((cell) =>
        cell.replaceAll(/\[(.*?)\]\(#.*?\)/g, "$1").replaceAll(/[`*\s\\]/g, "")
      )
    )
  );
}

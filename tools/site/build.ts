/**
 * Builds the site: the pages of the museum and of all studies, made from their trials in docs/, the
 * page that trains in a browser, and an index of them.
 *
 *     deno task site [RUN...]
 *
 * writes it into site/. The report of each RUN, which is the directory of a run, becomes one of its
 * pages. The pages of searches count the n-grams of tiny Shakespeare, which is looked for as `train`
 * does.
 */

import { basename, fromFileUrl, join, resolve } from "@std/path";
import { pageOf } from "../../lib/cli/report/page.ts";
import type { Document, Section } from "../../lib/report/document.ts";
import { readFlags } from "../flags.ts";
import { buildPage, writePage } from "../page.ts";
import { reportAgain, studies } from "./studies.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));

/** A page of the site. */
interface Page {
  /** Its address on the site. */
  readonly path: string;
  readonly title: string;
  /** Its first paragraph. */
  readonly about: string;
}

/**
 * Builds the site; yields the path of each page.
 *
 * @param out the directory to write it into; what it held goes away
 * @param runs directories of runs
 */
export async function* buildSite(
  out: string,
  runs: readonly string[],
): AsyncGenerator<string> {
  await Deno.remove(out, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  const pages: Page[] = [];
  for (const study of await studies()) {
    const folder = study.replace("docs/", "");
    await reportAgain(study, join(out, folder));
    const report = await Deno.readTextFile(join(out, folder, "report.md"));
    const [heading, about] = report.split("\n\n");
    pages.push({
      path: `${folder}/report.html`,
      title: heading!.replace("# ", ""),
      about: about!,
    });
    yield join(out, folder, "report.html");
  }
  for (const run of runs) {
    const page = await runPage(out, run);
    pages.push(page);
    yield join(out, page.path);
  }
  const { html } = await writePage(join(out, "train"), await buildPage());
  yield html;
  pages.push({
    path: "train/index.html",
    title: "A language model, trained in this tab",
    about: "Trains a small model in the browser and shows how it learns.",
  });
  const page = await pageOf(await indexDocument(pages));
  await Deno.writeTextFile(join(out, "index.html"), page);
  yield join(out, "index.html");
}

/** Writes the report of a run. */
async function runPage(out: string, run: string): Promise<Page> {
  const title = basename(resolve(run));
  const path = `runs/${title}.html`;
  await Deno.mkdir(join(out, "runs"), { recursive: true });
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli.ts", "report", run, "--out", join(out, path)],
    cwd: root,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`Cannot report on ${run}: exit code ${code}`);
  return {
    path,
    title,
    about: "Losses, samples, attention and settings of a run.",
  };
}

async function indexDocument(pages: readonly Page[]): Promise<Document> {
  const readme = await Deno.readTextFile(join(root, "README.md"));
  const [, about] = readme.split("\n\n");
  const section = (id: string, title: string): Section => ({
    ...{ id, title },
    blocks: [{
      ...{ kind: "table", caption: title, prose: true },
      head: ["page", "content"],
      rows: pages.filter(({ path }) => path.startsWith(`${id}/`))
        .map((
          { path, title, about },
        ) => [`[${title}](${encodeURI(path)})`, about]),
    }],
  });
  return {
    title: "lm",
    lead: [about!.replaceAll("\n", " ")],
    blocks: [],
    sections: [
      section("train", "Try it"),
      section("lab", "The lab"),
      section("recipe", "The default recipe, part by part"),
      section("runs", "Runs"),
    ].filter(({ blocks: [table] }) =>
      table?.kind === "table" && table.rows.length > 0
    ),
    source: "Each page is made from the trials that are kept with the program.",
  };
}

if (import.meta.main) {
  const { operands } = readFlags({});
  const runs = operands.map((path) => resolve(path));
  for await (const path of buildSite(join(root, "site"), runs)) {
    console.log(path);
  }
}

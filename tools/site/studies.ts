/** The studies in docs/, and how their reports are made again from their trials. */

import { fromFileUrl, join } from "@std/path";

const root = fromFileUrl(new URL("../../", import.meta.url));

/** Returns the directories of all studies, as `docs/lab/ablate`. */
export async function studies(): Promise<string[]> {
  const found: string[] = [];
  for (const folder of ["docs/lab", "docs/recipe"]) {
    for await (
      const { name, isDirectory } of Deno.readDir(join(root, folder))
    ) {
      if (isDirectory) found.push(`${folder}/${name}`);
    }
  }
  return found.toSorted();
}

/** Files that are made from a study: its reports, and the chart on the front page of the repository. */
export const made: RegExp = /^(report\.(md|html)|front\.svg)$/;

/**
 * Copies a study without what is made of it, and makes that again in the copy. Nothing is trained.
 *
 * @param study its directory, from the root of the repository
 * @param to the copy's directory
 */
export async function reportAgain(study: string, to: string): Promise<void> {
  await copyKept(join(root, study), to);
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli.ts", ...await commandOf(study, to)],
    cwd: root,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (code === 0) return;
  const message = new TextDecoder().decode(stderr).trim();
  throw new Error(`Cannot report on ${study}: ${message}`);
}

/** Returns the arguments of the command that reports on a study. */
async function commandOf(study: string, to: string): Promise<string[]> {
  if (study !== "docs/lab/minimal") return ["lab", "report", to];
  // A search is reported by the command that resumes it; all its trials are there.
  const readme = await Deno.readTextFile(join(root, "docs/lab/README.md"));
  const [, command] = /^deno run -A cli\.ts (lab minimal .*--with .*)$/m
    .exec(readme)!;
  const args = command!.split(" ");
  return [...args.map((arg) => arg.replace("studies", to)), "--out", to];
}

async function copyKept(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const [source, copy] = [join(from, name), join(to, name)];
    if (isDirectory) await copyKept(source, copy);
    else if (!made.test(name)) await Deno.copyFile(source, copy);
  }
}

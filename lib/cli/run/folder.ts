/** Names a new run in a folder, and finds the folder's runs. */

import { join } from "@std/path";
import { withoutHint } from "../../refusal.ts";
import { CommandError, commandError } from "../command/errors.ts";
import { program } from "../command/program.ts";
import { ifThere } from "./files.ts";
import { files } from "./directory.ts";
import { warn } from "../terminal/terminal.ts";

/** The default folder of runs. */
export const RUNS = "runs";

/** Returns a name for a new run: the preset and the local time. */
export function newRunPath(preset: string, now: Date = new Date()): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [now.getFullYear(), now.getMonth() + 1, now.getDate()];
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()];
  return join(
    RUNS,
    `${preset}-${date.map(two).join("")}-${time.map(two).join("")}`,
  );
}

/**
 * Returns the paths of a folder's folders that are not hidden, links to folders included; undefined if there is no such folder.
 *
 * @throws {CommandError} if it cannot be read
 */
export async function foldersIn(
  folder: string,
): Promise<string[] | undefined> {
  const entries = await ifThere(folder, Array.fromAsync(Deno.readDir(folder)));
  if (entries === undefined) return undefined;
  const folders: string[] = [];
  for (const { name, isFile, isSymlink } of entries) {
    const path = join(folder, name);
    // A broken link is reported when its contents are read.
    const isLinkToFile = isSymlink &&
      await Deno.stat(path).then(({ isFile }) => isFile, () => false);
    const isHidden = name.startsWith(".");
    if (!isFile && !isLinkToFile && !isHidden) folders.push(path);
  }
  return folders;
}

/** Returns the run in `runs/` whose checkpoint is the newest. Unreadable directories are skipped with a warning. */
async function newestRun(): Promise<string | undefined> {
  let newest: { path: string; time: number } | undefined;
  for (const path of await foldersIn(RUNS) ?? []) {
    const file = join(path, files.checkpoint);
    try {
      const info = await ifThere(file, Deno.stat(file));
      const time = info?.mtime?.getTime() ?? -Infinity;
      if (time > (newest?.time ?? -Infinity)) newest = { path, time };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      warn(withoutHint(error));
    }
  }
  return newest?.path;
}

/**
 * Returns a given run, or else the newest one.
 *
 * @throws {CommandError} if there is none
 */
export async function givenOrNewest(
  given: string | undefined,
): Promise<string> {
  const run = given ?? await newestRun();
  if (run !== undefined) return run;
  throw commandError(
    "find a run",
    `there is none in ${RUNS}/`,
    `${program()} train makes one`,
  );
}

/** Returns a hint that names the newest run, if there is one. */
export async function newestHint(): Promise<string | undefined> {
  const newest = await newestRun();
  return newest && `the newest run is ${newest}`;
}

/**
 * Runs the program, which kills itself at one of its file operations:
 *
 *     deno run -A tools/faults/dying_run.ts '{"of":"rename checkpoint","moment":"after"}' train …
 *
 * A kill from outside comes at a random time. This one hits the instants between two
 * operations, or leaves half of a write, as often as wanted.
 */

import { basename } from "@std/path";
import { main } from "../../lib/cli/command/main.ts";

/** The instant at which the process dies. */
export interface Death {
  /** The beginning of the operation's description, as in `rename best` or `write metrics.jsonl {"event":"eval"`. */
  readonly of: string;
  /** The number of the operation among those, from 1; the first if left out. */
  readonly nth?: number;
  /** Before it, after it, or with half of the bytes written (for other operations: before). */
  readonly moment: "before" | "half" | "after";
}

/** Characters of the written data that a description shows. */
const SHOWN = 60;

function die(): never {
  Deno.kill(Deno.pid, "SIGKILL");
  while (true);
}

/** Replaces the operations that change files by ones that count, and die. */
function arm({ of, nth = 1, moment }: Death): void {
  let left = nth;
  /** Kills the process before or half through an operation, if it is the chosen one; returns true if the process is to die after it. */
  function enter(description: string, half: () => unknown = die): boolean {
    const now = description.startsWith(of) && --left === 0;
    if (now && moment === "before") die();
    if (now && moment === "half") {
      half();
      die();
    }
    return now;
  }
  async function pass<Value>(
    description: string,
    { half, whole }: {
      half?: () => unknown;
      whole: () => Promise<Value>;
    },
  ): Promise<Value> {
    const dies = enter(description, half);
    const value = await whole();
    if (dies) die();
    return value;
  }

  const { open, rename, mkdir, writeTextFile } = Deno;
  const { write, writeSync, sync } = Deno.FsFile.prototype;
  const names = new WeakMap<Deno.FsFile, string>();
  const nameOf = (path: string | URL) => basename(String(path));
  Deno.open = async (path, options) => {
    const writes = options?.write || options?.append;
    const whole = () => open(path, options);
    const file = writes
      ? await pass(`open ${nameOf(path)}`, { whole })
      : await whole();
    names.set(file, nameOf(path));
    return file;
  };
  Deno.rename = (from, to) =>
    pass(`rename ${nameOf(from)}`, { whole: () => rename(from, to) });
  Deno.mkdir = (path, options) =>
    pass(`mkdir ${nameOf(path)}`, { whole: () => mkdir(path, options) });
  Deno.writeTextFile = (path, text, options) =>
    pass(`write ${nameOf(path)} ${String(text).slice(0, SHOWN)}`, {
      half: () => {
        const part = String(text).slice(0, String(text).length >> 1);
        Deno.writeTextFileSync(path, part, options);
      },
      whole: () => writeTextFile(path, text, options),
    });
  const writingOf = (file: Deno.FsFile, bytes: Uint8Array) => {
    const begin = new TextDecoder().decode(bytes.subarray(0, SHOWN));
    return {
      description: `write ${names.get(file)} ${begin}`,
      half: () => writeSync.call(file, bytes.subarray(0, bytes.length >> 1)),
    };
  };
  Deno.FsFile.prototype.write = function (bytes) {
    const whole = () => write.call(this, bytes);
    if (!names.has(this)) return whole(); // a stream
    const { description, half } = writingOf(this, bytes);
    return pass(description, { half, whole });
  };
  Deno.FsFile.prototype.writeSync = function (bytes) {
    if (!names.has(this)) return writeSync.call(this, bytes);
    const { description, half } = writingOf(this, bytes);
    const dies = enter(description, half);
    const written = writeSync.call(this, bytes);
    return dies ? die() : written;
  };
  Deno.FsFile.prototype.sync = function () {
    return pass(`sync ${names.get(this)}`, { whole: () => sync.call(this) });
  };
}

if (import.meta.main) {
  const [death, ...args] = Deno.args;
  arm(JSON.parse(death!) as Death);
  Deno.exit(await main(args));
}

/** Runs the command line's `main` in this process and captures its output. */

import { main } from "../../lib/cli/command/main.ts";

/** The output of a command, and its exit code. */
export interface Captured {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command; captures standard output and standard error until it is done. */
export async function capturedMain(args: readonly string[]): Promise<Captured> {
  const { stdout, stderr } = Deno;
  const said = { stdout: "", stderr: "" };
  const decoder = new TextDecoder();
  const write = stdout.write;
  const writeSync = stderr.writeSync;
  stdout.write = (bytes) => {
    said.stdout += decoder.decode(bytes);
    return Promise.resolve(bytes.length);
  };
  stderr.writeSync = (bytes) => {
    said.stderr += decoder.decode(bytes);
    return bytes.length;
  };
  try {
    return { code: await main(args), ...said };
  } finally {
    stdout.write = write;
    stderr.writeSync = writeSync;
  }
}

/**
 * Runs the commands of README.md as a newcomer would: in a copy of what git knows, with nothing in Deno's cache. The gate
 * runs this file (`deno test -A tests/readme.ts`); `deno test` alone does not find it by its name, because one of
 * the commands is `deno test -A`.
 *
 * A block of shell commands is run if a marker stands before it: `<!-- ci -->`, or `<!-- ci 60s -->` for commands
 * that run until Ctrl-C. After that time they get a SIGINT, and must end in good order. `deno test -A` is one
 * of them: the gate has run all its tests to the end already.
 */

import { assert } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { runLimited } from "../tools/limited.ts";

/** Seconds that a command without a limit of its own may take, on a busy machine. */
const MOST_SECONDS = 600;

const root = fromFileUrl(new URL("../", import.meta.url));

/** A command, and the seconds after which it gets a SIGINT. */
interface Command {
  readonly command: string;
  readonly seconds: number | undefined;
}

/** Returns the marked commands of a page in Markdown. */
function commandsOf(markdown: string): Command[] {
  const blocks = markdown.matchAll(
    /^<!-- ci(?: (\d+)s)? -->\n+```sh\n(.*?)^```$/gms,
  );
  return [...blocks].flatMap(([, seconds, text]) =>
    text!.replaceAll("\\\n", "").split("\n")
      .filter((line) => /^\s*[^#\s]/.test(line))
      .map((command) => ({ command, seconds: seconds ? +seconds : undefined }))
  );
}

const markdown = await Deno.readTextFile(join(root, "README.md"));
const commands = commandsOf(markdown);
const marks = markdown.split("<!-- ci").length - 1;
const scratch = await Deno.makeTempDir({ prefix: "lm-readme-" });
const copy = join(scratch, "lm");

Deno.test.beforeAll(async () => {
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd: root,
  }).output();
  const files = new TextDecoder().decode(stdout).split("\0").filter(Boolean);
  assert(files.length > 0, "git lists the files of the project");
  for (const file of files) {
    await Deno.mkdir(join(copy, dirname(file)), { recursive: true });
    await Deno.copyFile(join(root, file), join(copy, file)).catch((error) => {
      // Git lists a deleted file until the deletion is committed.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
});

Deno.test.afterAll(() => Deno.remove(scratch, { recursive: true }));

Deno.test("Every marker of README.md stands before commands", () => {
  const blocks = [...markdown.matchAll(/^<!-- ci(?: \d+s)? -->\n+```sh\n/gm)];
  assert(marks > 0 && blocks.length === marks, `${blocks.length} of ${marks}`);
});

for (const { command, seconds } of commands) {
  Deno.test(`README: ${command}`, async () => {
    const { code, signal } = await runLimited("bash", {
      args: ["-c", command],
      cwd: copy,
      env: { DENO_DIR: join(scratch, "deno") },
    }, {
      milliseconds: 1000 * (seconds ?? MOST_SECONDS),
      signal: "SIGINT",
      grace: 30_000,
    });
    const isInterrupted = seconds !== undefined &&
      (code === 130 || signal === "SIGINT");
    assert(
      code === 0 || isInterrupted,
      `exit code ${code}, signal ${signal}`,
    );
  });
}

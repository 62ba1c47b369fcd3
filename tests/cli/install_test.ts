/** `deno install` from a clone, what hints say then, and completions in the shells that are here. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { completions, shells } from "../../lib/cli/command/completions.ts";
import { flagsOf } from "../../lib/cli/command/arguments.ts";
import * as registry from "../../lib/cli/command/registry.ts";
import { flagName } from "../../lib/cli/command/flag.ts";
import { commandOf } from "../../lib/cli/command/program.ts";
import { Workplace } from "./process.ts";

const clone = fromFileUrl(new URL("../../", import.meta.url));
const windows = Deno.build.os === "windows";

async function output(
  command: string,
  args: string[],
  options: Deno.CommandOptions = {},
) {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    stdin: "null",
    ...options,
    args,
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

Deno.test("The README's install line works in a clone, and hints say lm afterwards", async () => {
  await using here = await Workplace.create();
  const readme = await Deno.readTextFile(join(clone, "README.md"));
  const line = "deno install -gA -n lm --config deno.json cli.ts";
  assertStringIncludes(readme, line);
  const root = here.file("root");
  const installed = await output(
    Deno.execPath(),
    ["install", "--root", root, ...line.split(" ").slice(2)],
    { cwd: clone },
  );
  assertEquals(installed.code, 0, installed.stderr);
  const bin = join(root, "bin");
  const env = {
    PATH: `${bin}${windows ? ";" : ":"}${Deno.env.get("PATH")}`,
    NO_COLOR: "1",
  };
  const lm = join(bin, windows ? "lm.cmd" : "lm");
  const help = await output(lm, ["--help"], { cwd: here.path, env });
  assertEquals(help.code, 0, help.stderr);
  assertStringIncludes(help.stdout, "\n  lm train ");
  assertEquals(help.stdout.includes("deno run"), false);
  const hint = await output(lm, ["sample"], { cwd: here.path, env });
  assertEquals(hint.code, 1);
  assertStringIncludes(hint.stderr, "hint: lm train makes one");
});

Deno.test("The command in hints is the one that starts this program from here", async () => {
  await using here = await Workplace.create();
  const named = (main: string, path = "") =>
    commandOf({ main, path, cwd: clone });
  const file = new URL("../../cli.ts", import.meta.url).href;
  assertEquals(named(file), "deno run -A cli.ts");
  const jsr = "https://jsr.io/@lm/core/0.1.0/cli.ts";
  assertEquals(named(jsr), "deno run -A jsr:@lm/core/cli");
  assertEquals(
    named("https://mirror.example/@lm/core/1.2.3/cli.ts"),
    named(jsr),
  );
  assertEquals(
    named("https://example.com/cli.ts"),
    "deno run -A https://example.com/cli.ts",
  );

  // An lm on the path counts if it is a script that starts this very program.
  const script = windows ? "lm.cmd" : "lm";
  const shim = (main: string) => `exec deno run --allow-all '${main}' "$@"\n`;
  await here.write(script, shim(file));
  assertEquals(named(file, here.path), "lm");
  assertEquals(named(jsr, here.path), "deno run -A jsr:@lm/core/cli");
  await here.write(script, shim("jsr:@lm/core/cli"));
  assertEquals(named(jsr, here.path), "lm");
  assertEquals(named(file, here.path), "deno run -A cli.ts");
  await here.write(script, shim(file) + "x".repeat(5000));
  assertEquals(named(file, here.path), "deno run -A cli.ts");
  const elsewhere = [here.file("nowhere"), here.file("text.txt")];
  const path = elsewhere.join(windows ? ";" : ":");
  assertEquals(named(file, path), "deno run -A cli.ts");
});

/** Returns whether a shell is here to read its script. */
async function isHere(shell: string): Promise<boolean> {
  try {
    return (await output(shell, ["-c", "true"])).code === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const bash = await isHere("bash");

Deno.test({
  name: "bash completes commands, flags and their words" +
    (bash ? "" : " (skipped: no bash)"),
  ignore: !bash,
  fn: async () => {
    await using here = await Workplace.create();
    await here.write("lm.bash", completions("bash", registry));
    const complete = async (line: string) => {
      // What readline makes of a line that is completed at its end.
      const words = line.split(" ").flatMap((word) => word.split(/(=)/))
        .filter((word, i, all) => word !== "" || i === all.length - 1);
      const array = words.map((word) => `'${word}'`).join(" ");
      const { code, stdout, stderr } = await output("bash", [
        "-c",
        `set -u; source lm.bash; COMP_WORDS=(${array}); COMP_CWORD=${
          words.length - 1
        }; _lm; printf '%s\n' "\${COMPREPLY[@]-}"; complete -p lm >&2`,
      ], { cwd: here.path });
      assertEquals(code, 0, stderr);
      assertStringIncludes(stderr, "-F _lm lm");
      return stdout.trimEnd().split("\n");
    };
    assertEquals(await complete("lm tr"), ["train"]);
    const words = await complete("lm ");
    for (const word of ["train", "lab", "--version"]) {
      assert(words.includes(word), `${word} in ${words}`);
    }
    assertEquals(await complete("lm lab mus"), ["museum"]);
    assertEquals(await complete("lm lab museum --al"), ["--all"]);
    assertEquals(await complete("lm help sam"), ["sample"]);
    assertEquals(await complete("lm completions f"), ["fish"]);
    assertEquals(await complete("lm train --learning"), ["--learning-rate"]);
    assertEquals(await complete("lm train --no-bia"), ["--no-bias"]);
    assertEquals(await complete("lm train --preset nano-c"), ["nano-cpu"]);
    assertEquals(await complete("lm train --preset=nano-c"), ["nano-cpu"]);
    assertEquals(await complete("lm train --steps 3 --mask z"), ["zeroed"]);
    assertEquals(await complete("lm train --decay-steps o"), ["off"]);
    assertEquals(await complete("lm sample --learning"), [""]);
    assertEquals(await complete("lm sample ru"), [""]); // left to file names
  },
});

for (const shell of shells) {
  const ready = await isHere(shell);
  Deno.test({
    name: `${shell} reads its completions` +
      (ready ? "" : ` (skipped: no ${shell})`),
    ignore: !ready,
    fn: async () => {
      await using here = await Workplace.create();
      await here.write("script", completions(shell, registry));
      const { code, stderr } = await output(
        shell,
        ["-n", here.file("script")],
      );
      assertEquals([code, stderr], [0, ""]);
    },
  });

  Deno.test(`Completions of ${shell} have every flag of every command`, () => {
    const script = completions(shell, registry);
    for (const verb of registry.commands) {
      for (const key of Object.keys(flagsOf(verb))) {
        const flag = shell === "fish"
          ? `-l ${flagName(key)}`
          : `--${flagName(key)}`;
        assert(script.includes(flag), `${verb.name} ${flag}`);
      }
    }
  });
}

Deno.test("completions refuses other shells", async () => {
  await using here = await Workplace.create();
  for (const [args, word] of [[["fihs"], "fish?"], [[], "bash"]] as const) {
    const { code, stderr } = await here.run(["completions", ...args]);
    assertEquals(code, 2);
    assertStringIncludes(stderr, word);
  }
});

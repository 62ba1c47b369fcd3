import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { flagName } from "../../lib/cli/command/flag.ts";
import {
  commandHelp,
  labHelp,
  programHelp,
} from "../../lib/cli/command/help.ts";
import { VERSION } from "../../lib/cli/command/program.ts";
import { flagsOf } from "../../lib/cli/command/arguments.ts";
import { commands } from "../../lib/cli/command/registry.ts";
import { Workplace } from "./process.ts";

const verbs = commands.map((verb) => [verb, commandHelp(verb)] as const);

Deno.test("Help fits into 80 columns", () => {
  // Examples begin with the command, which is longer here than that of a user.
  const width = (line: string) =>
    line.replace(/deno run -A \S+/, "deno").length;
  for (
    const text of [
      programHelp(),
      labHelp(),
      ...verbs.map(([, text]) => text),
    ]
  ) {
    for (const line of text.split("\n")) assert(width(line) <= 80, line);
  }
});

Deno.test("Help on a command has every flag of it, once", () => {
  for (const [verb, text] of verbs) {
    for (const key of Object.keys(flagsOf(verb))) {
      const line = new RegExp(
        `^  (-\\w, )?--(\\[no-\\])?${flagName(key)}\\b(?!-)`,
        "gm",
      );
      assertEquals(text.match(line)?.length, 1, `${verb.name} ${key}`);
    }
  }
});

Deno.test("Help on a command shows its examples before its flags", () => {
  for (const [verb, text] of verbs) {
    const [example = ""] = verb.examples[0]!.split(" # ");
    const at = text.indexOf(` ${example}`);
    assert(at >= 0 && at < text.indexOf("--help"), verb.name);
  }
});

Deno.test("Help on the program names every command", () => {
  for (const [{ name, summary }] of verbs) {
    assertStringIncludes(programHelp(), `  ${name}  `);
    assertStringIncludes(programHelp(), summary.slice(0, 30));
  }
});

Deno.test("The version is that of deno.json", async () => {
  const file = new URL("../../deno.json", import.meta.url);
  const [, version] = /"version": "(.*)"/.exec(await Deno.readTextFile(file))!;
  assertEquals(VERSION, version);
});

Deno.test("help, --help and -h say the same of a command, wherever they stand", async () => {
  await using here = await Workplace.create();
  const same = [
    ["help", "--help", "-h", "help help"],
    ["help sample", "sample --help", "sample -h", "sample RUN --help"],
    ["help train", "train --nonsense --help", "train --steps x --help"],
    ["help lab", "lab --help", "lab help", "lab -h"],
    ["help lab minimal", "lab minimal --help", "lab help minimal"],
  ];
  for (const [first, ...rest] of same) {
    const wanted = await here.run(first!.split(" "));
    assertEquals([wanted.code, wanted.stderr], [0, ""], first);
    for (const line of rest) {
      assertEquals(await here.run(line.split(" ")), wanted, line);
    }
  }
});

Deno.test("-V and --version give the version", async () => {
  await using here = await Workplace.create();
  for (const flag of ["-V", "--version"]) {
    const { code, stdout } = await here.run([flag]);
    assertEquals([code, stdout], [0, `lm ${VERSION}\n`]);
  }
});

Deno.test("An unknown command is reported as that, with the nearest", async () => {
  await using here = await Workplace.create();
  const cases = [
    ["tarin", "Cannot run tarin: there is no such command", "train?"],
    ["Sample", "Cannot run Sample: there is no such command", "sample?"],
    ["minimal", "Cannot run minimal: there is no such command", "lab minimal?"],
    [
      "xyzzy",
      "Cannot run xyzzy: there is no such command",
      "the commands are train, ",
    ],
    ["lab minmal", "Cannot run lab minmal", "did you mean lab minimal?"],
    ["help tarin", "Cannot run tarin", "did you mean train?"],
    ["help lab minmal", "Cannot run lab minmal", "did you mean lab minimal?"],
    ["--steps 3", "Cannot use --steps here: a command comes first", "train"],
  ];
  for (const [line, ...words] of cases) {
    const { code, stdout, stderr } = await here.run(line!.split(" "));
    assertEquals([code, stdout], [2, ""], line);
    for (const word of words) assertStringIncludes(stderr, word);
  }
});

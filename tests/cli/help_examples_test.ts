/** Every example in help does what it says: each is parsed, and each that names a path names one that the examples before it make. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parseArguments } from "../../lib/cli/command/arguments.ts";
import { commands } from "../../lib/cli/command/registry.ts";
import { program } from "../../lib/cli/command/program.ts";
import { commandHelp } from "../../lib/cli/command/help.ts";
import { SMALL, TEXT, Workplace } from "./process.ts";

const examples = commands.flatMap((verb) =>
  verb.examples.map((example) => ({ verb, line: example.split(" # ")[0]! }))
);

/** The words of a line, as a shell makes them; what is redirected ends it. */
function wordsOf(line: string): string[] {
  return Array.from(
    line.replace(/ > .*/, "").matchAll(/"([^"]*)"|\S+/g),
    ([word, quoted]) => quoted ?? word,
  );
}

Deno.test("Examples in help are shown with the command, and their flags are taken", () => {
  for (const { verb, line } of examples) {
    assertStringIncludes(commandHelp(verb), `${program()} ${line}`);
    const args = wordsOf(line).slice(verb.name.split(" ").length);
    assert(line.startsWith(verb.name), line);
    parseArguments(args, verb);
  }
});

Deno.test("Help names no file that only a clone has", () => {
  for (const verb of commands) {
    assertEquals(
      /docs\/|tools\/|bench\//.exec(commandHelp(verb)),
      null,
      verb.name,
    );
  }
});

/** Flags that make an example small enough for a test; the last of a flag counts. */
const small: Readonly<Record<string, readonly string[]>> = {
  sample: ["--tokens", "3", "--device", "reference"],
  eval: ["--device", "reference"],
  report: ["--device", "reference"],
  check: ["--no-machine", "--device", "reference"],
};

Deno.test("Examples in help that name a run or a study work on one", async () => {
  await using here = await Workplace.create();
  await here.write("more.txt", TEXT.toUpperCase().toLowerCase().repeat(2));
  const made = [
    ["train", ...SMALL, "--out", "runs/NAME", "--steps", "6"],
    ["train", ...SMALL, "--out", "runs/A", "--steps", "6"],
    ["train", ...SMALL, "--out", "runs/B", "--steps", "6", "--seed", "2"],
  ];
  for (const args of made) {
    const { code, stderr } = await here.run(args);
    assertEquals(code, 0, stderr);
  }
  await Deno.copyFile(
    here.file("runs/NAME/checkpoint.safetensors"),
    here.file("model.safetensors"),
  );
  const named = examples.filter(({ verb, line }) =>
    verb.name in small && /runs\/|more\.txt|safetensors|^report/.test(line) &&
    !line.includes("--device webgpu")
  );
  assert(named.length >= 7, `${named.length}`);
  for (const { verb, line } of named) {
    // The tiny text has no capitals to continue.
    const args = wordsOf(line.replace("ROMEO:", "the cat"));
    const { code, stderr } = await here.run([...args, ...small[verb.name]!]);
    assertEquals(code, 0, `${line}\n${stderr}`);
  }
  for (
    const line of [
      "train --init runs/NAME --data more.txt",
      "train --resume runs/NAME",
    ]
  ) {
    assert(examples.some((example) => example.line === line), line);
    const flags = line.includes("--init")
      ? ["--preset", "tiny", "--steps", "2", "--device", "reference"]
      : ["--steps", "8", "--device", "reference"];
    const { code, stderr } = await here.run([...wordsOf(line), ...flags]);
    assertEquals(code, 0, `${line}\n${stderr}`);
  }
});

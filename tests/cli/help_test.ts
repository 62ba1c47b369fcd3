import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { flagName } from "../../lib/cli/flag.ts";
import { programHelp, verbHelp } from "../../lib/cli/help.ts";
import { VERSION } from "../../lib/cli/program.ts";
import {
  checkVerb,
  evalVerb,
  infoVerb,
  reportVerb,
  sampleVerb,
  trainVerb,
} from "../../lib/cli/verbs.ts";

const verbs = [
  [trainVerb, verbHelp(trainVerb)],
  [sampleVerb, verbHelp(sampleVerb)],
  [evalVerb, verbHelp(evalVerb)],
  [infoVerb, verbHelp(infoVerb)],
  [checkVerb, verbHelp(checkVerb)],
  [reportVerb, verbHelp(reportVerb)],
] as const;

Deno.test("Help fits into 80 columns", () => {
  // Examples begin with the command, which is longer here than that of a user.
  const width = (line: string) =>
    line.replace(/deno run -A \S+/, "deno").length;
  for (const text of [programHelp(), ...verbs.map(([, text]) => text)]) {
    for (const line of text.split("\n")) assert(width(line) <= 80, line);
  }
});

Deno.test("Help on a verb has every flag of it, once", () => {
  for (const [verb, text] of verbs) {
    for (const key of Object.keys(verb.flags)) {
      const line = new RegExp(
        `^  (-\\w, )?--(\\[no-\\])?${flagName(key)}\\b(?!-)`,
        "gm",
      );
      assertEquals(text.match(line)?.length, 1, `${verb.name} ${key}`);
    }
  }
});

Deno.test("Help on a verb shows its examples before its flags", () => {
  for (const [verb, text] of verbs) {
    const [example] = verb.examples[0]!;
    assert(text.indexOf(`cli.ts ${example}`) < text.indexOf("--help"));
  }
});

Deno.test("Help on the program names every verb", () => {
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

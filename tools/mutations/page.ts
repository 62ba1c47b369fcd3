/** docs/mutations.md, as the tables of mutations make it. */

import type { Mutation } from "./table.ts";

const titles: Readonly<Record<string, string>> = {
  checks: "The checks",
  command: "The command line",
  cpu: "The CPU engine",
  lab: "The lab",
  model: "The model and its files",
  reference: "The reference backend",
  reports: "Reports",
  server: "The server",
  text: "Text: tokens, sampling, counting",
  training: "Training and evaluation",
  webgpu: "The WebGPU engine",
};

/** Returns the page in Markdown; `deno fmt` aligns its tables. */
export function mutationsPage(
  parts: ReadonlyMap<string, readonly Mutation[]>,
): string {
  const all = [...parts.values()].flat();
  const caught = all.filter(({ missedAtFirst }) => !missedAtFirst);
  return [
    "# Planted mistakes",
    "Do the tests notice a careless edit? `tools/mutations.ts` plants mistakes in a copy of the program, one at a " +
    "time, and runs the test that should fail, first without the mistake and then with it:",
    "    deno run -A tools/mutations.ts [--whole] [NAME...]",
    "The mistakes are in `tools/mutations/*.txt`: each replaces a few characters of one file. " +
    "`tests/tools/mutations_test.ts` checks that each mistake still fits its file and is listed here; " +
    "`deno run -A tools/mutations.ts --page` writes this page.",
    `**${caught.length} of ${all.length} were caught at first**, by the tests that existed when the mistake was ` +
    "first planted. For each of the others, a test was written that fails with the mistake and passes without it; " +
    "the table names this test. Mistakes that change no result, or less than the tolerances, were left out.",
    ...[...parts].flatMap(([part, mutations]) => [
      `## ${titles[part] ?? part}`,
      table(mutations),
    ]),
  ].join("\n\n") + "\n";
}

function table(mutations: readonly Mutation[]): string {
  return [
    "| Mistake | File | Test that fails | At first |",
    "| --- | --- | --- | --- |",
    ...mutations.map(({ what, file, test, missedAtFirst }) =>
      `| ${what} | \`${file}\` | \`${test.file}\`: ${
        (test.step ?? test.name).replaceAll("|", "\\|")
      } | ${missedAtFirst ? "**missed**" : "caught"} |`
    ),
  ].join("\n");
}

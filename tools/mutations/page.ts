/** The rows of docs/mutations.md. */

import { type Mutation, mutations } from "./table.ts";

/** Returns the page's table in Markdown, one line for each mistake. */
export function mutationRows(): string[] {
  return mutations.map((mutation) =>
    [
      "",
      mutation.what,
      `\`${mutation.file}\``,
      testOf(mutation),
      mutation.missedAtFirst ? "no" : "yes",
      "",
    ].join(" | ").trim()
  );
}

/** Returns how many mistakes were caught by the tests that there were when they were first planted. */
export function caughtAtFirst(): string {
  const caught = mutations.filter(({ missedAtFirst }) => !missedAtFirst);
  return `${caught.length} of ${mutations.length}`;
}

function testOf({ test: { file, name, step } }: Mutation): string {
  return `\`${file}\`: ${step ?? name}`;
}

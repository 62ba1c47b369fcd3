/**
 * Mistakes that a careless edit could make, each with the test that notices it. They are in the files `*.txt` beside
 * this one, one behind the other:
 *
 *     ## its name
 *     The mistake, in a sentence.
 *     file: the file, from the root of the project
 *     test: the test's file | the test's name or a part of it | the step of the test, where it is a list of them
 *     at first: missed          (if no test noticed when the mistake was first planted)
 *     ---
 *     the text to replace, which is in the file exactly once
 *     +++
 *     the text with the mistake
 *     ===
 */

import { basename, fromFileUrl, join } from "@std/path";
import { refusal } from "../../lib/refusal.ts";

/** A mistake to be planted. */
export interface Mutation {
  readonly name: string;
  /** The mistake, in a sentence. */
  readonly what: string;
  readonly file: string;
  readonly search: string;
  readonly replace: string;
  readonly test: TestName;
  /** True if no test noticed the mistake when it was first planted. */
  readonly missedAtFirst: boolean;
}

/** The place of a test. */
export interface TestName {
  readonly file: string;
  /** The name, or a part of it. */
  readonly name: string;
  /** The step that fails, where a test is a list of them. */
  readonly step?: string | undefined;
}

const folder = fromFileUrl(new URL("./", import.meta.url));

const entry =
  /^## (.+)\n(.+)\nfile: (.+)\ntest: (.+)\n(at first: missed\n)?---\n([^]*)\n\+\+\+\n([^]*)$/;

/** Returns all mistakes, by the part of the program that they are in. */
export async function readMutations(): Promise<Map<string, Mutation[]>> {
  const parts = new Map<string, Mutation[]>();
  const entries = await Array.fromAsync(Deno.readDir(folder));
  const files = entries.map(({ name }) => name)
    .filter((name) => name.endsWith(".txt")).sort();
  for (const file of files) {
    const text = await Deno.readTextFile(join(folder, file));
    const blocks = text.split("\n===\n").map((block) => block.trimStart());
    const mutations = blocks.filter((block) => block !== "").map(parsed);
    parts.set(basename(file, ".txt"), mutations);
  }
  return parts;
}

function parsed(block: string): Mutation {
  const [, name, what, file, test, missed, search, replace] =
    entry.exec(block) ?? [];
  const [testFile, testName, step] = test?.split(" | ") ?? [];
  if (!name || !what || !file || !testFile || !testName || !search) {
    throw refusal(
      SyntaxError,
      `read mutation ${JSON.stringify(name ?? block.slice(0, 200))}`,
      "it does not have the form that this file describes",
    );
  }
  return {
    ...{ name, what, file, search, replace: replace ?? "" },
    test: { file: testFile, name: testName, step },
    missedAtFirst: missed !== undefined,
  };
}

/**
 * Returns a file's text with a mistake.
 *
 * @throws {RangeError} if the text to replace is not in the file exactly once
 */
export function plant(
  { name, file, search, replace }: Mutation,
  text: string,
): string {
  const [before, after, ...more] = text.split(search);
  if (after === undefined || more.length > 0) {
    const times = after === undefined ? 0 : more.length + 2;
    throw refusal(
      RangeError,
      `plant "${name}"`,
      `its text is ${times} times in ${file}, not once`,
    );
  }
  return before + replace + after;
}

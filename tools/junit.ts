/** Reads the JUnit reports that `deno test --junit-path` and `--reporter=junit` write. */

/** One test, or one step of a test. */
export interface TestCase {
  /** The name, after the names of the tests around it: `test > step`. */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

/** Returns the tests of a report, in its order. */
export function readJunit(xml: string): TestCase[] {
  return xml.split("<testcase ").slice(1).map((text) => ({
    name: unescaped(/name="([^"]*)"/.exec(text)?.[1] ?? ""),
    outcome: /<(failure|error)/.test(text)
      ? "failed"
      : text.includes("<skipped")
      ? "skipped"
      : "passed",
  }));
}

/** Decodes the five entities of XML. */
function unescaped(text: string): string {
  const entities = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(
    /&(lt|gt|quot|apos|amp);/g,
    (_, name) => entities[name as keyof typeof entities],
  );
}

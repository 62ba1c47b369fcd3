import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { exhibits } from "../../lib/lab/museum/exhibits.ts";
import { syllables } from "../lab/museum_text.ts";
import { Workplace } from "./process.ts";

Deno.test("lab museum lists its exhibits, and shows one as a page and as findings", async () => {
  await using here = await Workplace.create();
  const { stdout: list } = await here.run(["lab", "museum"]);
  for (const { name, title } of exhibits) {
    assertStringIncludes(list, name);
    assertStringIncludes(list, title);
  }
  await here.write("syllables.txt", syllables(5000));
  const args = ["zero-top-k", "--steps", "20", "--seed", "3", "--out", "m"];
  const shown = await here.run([
    ...["lab", "museum", ...args, "--data", "syllables.txt"],
    ...["--threads", "1"],
  ]);
  assertEquals(shown.code, 0, shown.stderr);
  assertStringIncludes(shown.stdout, "| sampling: top-k | 0 of");
  assertMatch(
    shown.stderr,
    /^zero-top-k: \d+:\d\d; 1 of 1 exhibits$/m,
  );
  const report = await Deno.readTextFile(here.file("m/report.md"));
  assertStringIncludes(report, shown.stdout.trimEnd());
  const page = await Deno.readTextFile(here.file("m/report.html"));
  assertStringIncludes(page, '<section id="zero-top-k"');
  for (const text of [report, page]) {
    assertStringIncludes(
      text,
      "lab museum zero-top-k --data syllables.txt --seed 3 --steps 20 --out m",
    );
  }
  const { exhibits: [finding, ...more] } = JSON.parse(
    await Deno.readTextFile(here.file("m/findings.json")),
  );
  assertEquals([finding.name, more], ["zero-top-k", []]);
  assert(finding.figures.length > 2);

  // The findings alone make both again.
  await Deno.remove(here.file("m/report.md"));
  await Deno.remove(here.file("m/report.html"));
  const again = await here.run(["lab", "report", "m"]);
  assertEquals([again.code, again.stdout], [0, report], again.stderr);
  assertEquals(await Deno.readTextFile(here.file("m/report.md")), report);
  assertEquals(await Deno.readTextFile(here.file("m/report.html")), page);
  for (const broken of ["[]", "{", '{"exhibits":[{"name":"none"}]}']) {
    await here.write("m/findings.json", broken);
    const { code, stderr } = await here.run(["lab", "report", "m"]);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "Cannot read m/findings.json: it does not");
  }
});

Deno.test("lab museum refuses what it cannot show", async () => {
  await using here = await Workplace.create();
  const cases: [args: string, says: string][] = [
    ["zero-masks", "did you mean zero-mask?"],
    ["zero-mask --all", "Cannot show --all and some"],
    ["zero-mask --threads 2 --device reference", "Cannot use --threads"],
  ];
  for (const [args, says] of cases) {
    const { code, stderr } = await here.run(
      ["lab", "museum", ...args.split(" ")],
    );
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, says);
  }
});

Deno.test("lab museum trains nothing if it cannot keep what it finds", async () => {
  await using here = await Workplace.create();
  await here.write("file", "in the way");
  const { code, stdout, stderr } = await here.run(
    ["lab", "museum", "zero-mask", "--out", "file/museum"],
  );
  assertEquals([code, stdout], [1, ""], stderr);
  assertStringIncludes(stderr, "Cannot write file/museum");
});

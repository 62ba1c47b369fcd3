import { dirname, join } from "@std/path";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Outcome } from "../../lib/lab/outcome.ts";
import { positionsPlan } from "../../lib/lab/positions/plan.ts";
import { contentsOfPage } from "./page_contents.ts";
import { cli, Workplace } from "./process.ts";

Deno.test("lab run and lab report do a study of positions from its plan", async () => {
  await using here = await Workplace.create();
  const plan = positionsPlan({ quick: true });
  await Deno.mkdir(here.file("study"));
  await here.write(
    "study/plan.json",
    JSON.stringify({
      ...plan,
      data: "text.txt",
      base: {
        model: { ...plan.base.model, blockSize: 8, nEmbd: 8 },
        train: { ...plan.base.train, maxSteps: 2, batchSize: 1 },
      },
      cells: plan.cells.slice(0, 2),
    }),
  );
  const run = await here.run(["lab", "run", "study", "--threads", "1"]);
  assertEquals(run.code, 0, run.stderr);
  const report = await here.run(["lab", "report", "study"]);
  assertEquals(report.code, 0, report.stderr);
  assertStringIncludes(report.stdout, "# Positions");
  assertStringIncludes(report.stdout, "**Rough: one seed");
  assertStringIncludes(report.stdout, "2 of 2 trials");
  const html = await Deno.readTextFile(here.file("study/report.html"));
  assertStringIncludes(html, "<svg");
  assert(!/NaN|undefined/.test(html), "a number is missing from the page");
  const orders = JSON.parse(
    await Deno.readTextFile(here.file("study/orders.json")),
  ) as { what: string; exact: number }[];
  const blind = orders.filter(({ what }) => what.includes("no mask, no pos"));
  assert(blind.length >= 4 && blind.every(({ exact }) => exact === 0));
});

Deno.test("lab positions goes on with its own plan and refuses another", async () => {
  await using here = await Workplace.create();
  await Deno.mkdir(here.file("study"));
  const other = { ...positionsPlan({ quick: true }), about: "Another." };
  await here.write("study/plan.json", JSON.stringify(other));
  const { code, stderr } = await here.run(
    ["lab", "positions", "--quick", "--out", "study"],
  );
  assertEquals(code, 1);
  assertStringIncludes(stderr, "it holds another plan");
});

/** The published study of positions with some of its outcomes, reported on again. */
async function reportOf(
  keep: (outcome: Outcome) => Outcome | undefined,
): Promise<{ markdown: string; html: string }> {
  await using here = await Workplace.create();
  const docs = join(dirname(cli), "docs", "lab", "positions");
  await Deno.mkdir(here.file("p"));
  for (const name of ["plan.json", "orders.json"]) {
    await Deno.copyFile(join(docs, name), here.file(`p/${name}`));
  }
  const lines = await Deno.readTextFile(join(docs, "trials.jsonl"));
  const kept = lines.trim().split("\n")
    .flatMap((line) => keep(JSON.parse(line)) ?? [])
    .map((outcome) => `${JSON.stringify(outcome)}\n`);
  await here.write("p/trials.jsonl", kept.join(""));
  const report = await here.run(["lab", "report", "p"]);
  assertEquals(report.code, 0, report.stderr);
  const html = await Deno.readTextFile(here.file("p/report.html"));
  assert(!/NaN|undefined/.test(report.stdout + html), "a number is missing");
  return { markdown: report.stdout, html };
}

Deno.test("A study of positions without anything to compare with says so", async () => {
  const alone = "Nothing is compared with `none`, the model without positions";
  const cases: Record<string, [(outcome: Outcome) => boolean, boolean]> = {
    "all of it": [() => true, true],
    "one seed": [({ seed }) => seed === 1, true],
    "without none": [({ cell }) => !cell.startsWith("none"), false],
    "none alone": [({ cell }) => cell === "none", false],
    "no seed in common": [
      ({ cell, seed }) => (cell === "none") === (seed === 1),
      false,
    ],
    "nothing": [() => false, false],
  };
  for (const [what, [keep, isCompared]] of Object.entries(cases)) {
    const { markdown, html } = await reportOf((outcome) =>
      keep(outcome) ? outcome : undefined
    );
    assertEquals(!markdown.includes(alone), isCompared, what);
    assertEquals(
      !html.includes(alone.replaceAll("`none`", "<code>none</code>")),
      isCompared,
      what,
    );
    assertEquals(
      markdown.includes("Positions lower that by"),
      isCompared,
      what,
    );
  }
  const { markdown, html } = await reportOf((
    { positions: _, ...outcome }: Outcome & { positions?: unknown },
  ) => ({
    ...outcome,
    ...{ valLoss: null, trainLoss: null },
    diverged: { step: 4, message: "lost" },
  }));
  assertStringIncludes(markdown, alone);
  assertStringIncludes(markdown, "3 diverged at step 4, 4, 4");
  assertEquals(contentsOfPage(html).charts, []);
});

Deno.test("A study of positions sets its model without a mask apart", async () => {
  const { markdown, html } = await reportOf((outcome) => outcome);
  const [worth] = contentsOfPage(html).tables;
  const last = worth!.at(-1)!;
  assertEquals([last[0], last[2]], ["unmasked (sees the future)", ""]);
  assertStringIncludes(markdown, `| ${last.join(" | ")} |`);
  assertStringIncludes(markdown, "| `unmasked` **sees the future** |");
  const note = /\d+ intervals are shown here/;
  assertEquals(note.exec(html)?.[0], note.exec(markdown)?.[0]);
  assert(note.test(markdown), markdown);
});

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { positionsPlan } from "../../lib/lab/positions/plan.ts";
import { Workplace } from "./process.ts";

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

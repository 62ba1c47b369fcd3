import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { Pace } from "../../lib/cli/lab/pace.ts";
import { Workplace } from "./process.ts";

const plan = {
  study: "A small study",
  about: "Whether wider is better.",
  data: "text.txt",
  tokenizer: "chars",
  base: {
    model: { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8 },
    train: { maxSteps: 3, batchSize: 2 },
  },
  seeds: [1, 2],
  cells: [{ name: "base" }, { name: "wide", model: { nEmbd: 16 } }],
};

async function study(): Promise<Workplace> {
  const here = await Workplace.create();
  for (const folder of ["a", "b"]) {
    await Deno.mkdir(here.file(folder));
    await here.write(`${folder}/plan.json`, JSON.stringify(plan));
  }
  return here;
}

const onReference = ["--device", "reference"];

Deno.test("lab runs a study in shards and merges them, each trial once", async () => {
  await using here = await study();
  const first = await here.run(
    ["lab", "run", "a", "--shard", "1/2", ...onReference],
  );
  assertEquals(first.code, 0, first.stderr);
  assertEquals(first.stderr.match(/validation loss/g)?.length, 2);
  const second = await here.run(
    ["lab", "run", "b", "--shard", "2/2", ...onReference],
  );
  assertEquals(second.code, 0, second.stderr);
  const merged = await here.run(["lab", "merge", "a", "--from", "b"]);
  assertStringIncludes(merged.stderr, "4 of 4 trials");
  const lines = await Deno.readTextFile(here.file("a/trials.jsonl"));
  assertEquals(
    lines.trimEnd().split("\n").map((line) => JSON.parse(line).id),
    ["base.s1", "wide.s1", "base.s2", "wide.s2"],
  );
  const again = await here.run(["lab", "run", "a", ...onReference]);
  assert(!again.stderr.includes("validation loss"), "all is done");
  const report = await here.run(["lab", "report", "a"]);
  assertStringIncludes(report.stdout, "# A small study");
  assertMatch(report.stdout, /\| `wide` \| .* \| nEmbd 16 \| 2 \|/);
  assertStringIncludes(report.stdout, "4 of 4 trials");
  assertEquals(
    await Deno.readTextFile(here.file("a/report.md")),
    report.stdout,
  );
});

Deno.test("lab report says if trials ran on different programs", async () => {
  await using here = await study();
  await here.run(["lab", "run", "a", ...onReference]);
  const same = await here.run(["lab", "report", "a"]);
  const warning = "Not all trials ran on the same program";
  assert(!same.stdout.includes(warning), same.stdout);
  const path = here.file("a/trials/base.s1.json");
  const outcome = JSON.parse(await Deno.readTextFile(path));
  const other = { ...outcome, machine: "lm 0.0.9, on the reference" };
  await Deno.writeTextFile(path, JSON.stringify(other));
  const mixed = await here.run(["lab", "report", "a"]);
  assertStringIncludes(mixed.stdout, warning);
  assertStringIncludes(mixed.stdout, "lm 0.0.9");
});

Deno.test("lab shares a study between processes, each trial once", async () => {
  await using here = await study();
  const { code, stderr } = await here.run(
    ["lab", "run", "a", "--jobs", "2", ...onReference],
  );
  assertEquals(code, 0, stderr);
  assertEquals(stderr.match(/validation loss/g)?.length, 4, stderr);
  const names = await Array.fromAsync(
    Deno.readDir(here.file("a/trials")),
  );
  assertEquals(names.length, 4, "nothing but outcomes is left");
});

Deno.test("lab refuses outcomes of a plan that was edited since, or of another one", async () => {
  await using here = await study();
  const longer = {
    ...plan,
    base: { ...plan.base, train: { ...plan.base.train, maxSteps: 4 } },
  };
  await here.write("b/plan.json", JSON.stringify(longer));
  for (const folder of ["a", "b"]) {
    await here.run(["lab", "run", folder, ...onReference]);
  }
  const says = "base.s1 ran with maxSteps 4, and the plan has 3";
  const mixed = await here.run(["lab", "merge", "a", "--from", "b"]);
  assertEquals(mixed.code, 1);
  assertStringIncludes(mixed.stderr, says);
  await here.write("b/plan.json", JSON.stringify(plan));
  for (const verb of ["run", "merge", "report"]) {
    const { code, stderr } = await here.run(["lab", verb, "b"]);
    assertEquals(code, 1, verb);
    assertStringIncludes(stderr, says);
    assertStringIncludes(stderr, "give a changed cell a new name");
  }
});

Deno.test("lab refuses what it cannot do", async () => {
  await using here = await study();
  const impossible = { ...plan, cells: [{ name: "c", model: { nHead: 3 } }] };
  await here.write("b/plan.json", JSON.stringify(impossible));
  await here.write("a/trials.jsonl", "{}\n");
  const cases: [args: string, code: number, says: string][] = [
    ["lab run", 2, "Cannot find the study: no directory"],
    ["lab run nowhere", 1, "there is no such file"],
    ["lab run a --shard 3/2", 2, "is not I/N"],
    ["lab run b", 1, "trial c.s1: nEmbd (8) is not a multiple of nHead (3)"],
    ["lab report a", 1, "does not hold the outcome of a trial"],
    ["lab run a --jobs 0", 2, "Cannot use --jobs 0"],
    ["lab fly", 2, "the commands are ablate, scaling"],
    ["lab repotr a", 2, "did you mean lab report?"],
  ];
  for (const [args, code, says] of cases) {
    const outcome = await here.run(args.split(" "));
    assertEquals(outcome.code, code, `${args}: ${outcome.stderr}`);
    assertStringIncludes(outcome.stderr, says);
  }
});

Deno.test("A study's pace counts trials, and the time left at the rate of those finished since", () => {
  let now = 5000;
  const pace = new Pace("trials", { total: 10, before: 2, now: () => now });
  assertEquals(pace.text(2), "2 of 10 trials");
  now += 60_000;
  assertEquals(pace.text(2), "2 of 10 trials");
  // Two jobs finished 4 in a minute: 4 more take another.
  assertEquals(pace.text(6), "6 of 10 trials, about 1:00 left");
  now += 30_000;
  assertEquals(pace.text(9), "9 of 10 trials, about 0:13 left");
  assertEquals(pace.text(10), "10 of 10 trials");
});

Deno.test("lab run is quiet about progress where standard error is no terminal", async () => {
  await using here = await study();
  for (const jobs of [[], ["--jobs", "2"]]) {
    const { stderr } = await here.run(
      ["lab", "run", jobs.length ? "a" : "b", ...jobs, ...onReference],
    );
    for (const sign of ["\r", "\x1b", "of 4 trials,", " left"]) {
      assert(!stderr.includes(sign), stderr);
    }
  }
});

/** The experiments from the command line: planned, run, reported. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { candidates, roundPlan } from "../../lib/lab/minimal/search.ts";
import { trialsOf } from "../../lib/lab/plan.ts";
import { presets } from "../../lib/config/presets.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { play } from "../lab/play.ts";
import { Workplace } from "./process.ts";

/** A place with a text that is long enough to be measured. */
async function place(): Promise<Workplace> {
  const here = await Workplace.create();
  await here.write("text.txt", play(320_000));
  return here;
}

const onText = ["--data", "text.txt", "--preset", "tiny"];

Deno.test("lab scaling plans, runs and reports, and goes on where it stopped", async () => {
  await using here = await place();
  const args = [
    ...["scaling", ...onText, "--steps", "4", "--seeds", "1"],
    ...["--measure", "sample", "--out", "s"],
  ];
  const planned = await here.run(["lab", "plan", ...args]);
  assertEquals(planned.code, 0, planned.stderr);
  const trials = planned.stdout.trimEnd().split("\n");
  assertStringIncludes(planned.stderr, `${trials.length} trials; to run them`);
  const { code, stdout, stderr } = await here.run(["lab", ...args]);
  assertEquals(code, 0, stderr);
  assertEquals(stderr.match(/validation loss/g)?.length, trials.length);
  assertStringIncludes(stdout, "# Scaling of the preset tiny");
  assertStringIncludes(stdout, "**Rough: one seed a cell cannot tell");
  const merged = await Deno.readTextFile(here.file("s/trials.jsonl"));
  const ids = merged.trimEnd().split("\n").map((line) => JSON.parse(line).id);
  assertEquals(ids, trials);
  const page = await Deno.readTextFile(here.file("s/report.html"));
  assertStringIncludes(page, "<h1>Scaling of the preset tiny</h1>");
  assert(!/\b(src|href)="https?:/.test(page), "the page loads nothing");

  const again = await here.run(["lab", ...args]);
  assertEquals([again.code, again.stdout], [0, stdout]);
  assert(!again.stderr.includes("validation loss"), "all was done");
  const other = await here.run(["lab", ...args, "--steps", "5"]);
  assertEquals(other.code, 1);
  assertStringIncludes(
    other.stderr,
    "Cannot start a study in s: it holds another plan",
  );
});

Deno.test("lab minimal searches in rounds, and confirms what it finds", async () => {
  await using here = await place();
  const args = [
    ...["lab", "minimal", ...onText, "--steps", "40", "--arms", "4"],
    ...["--most", "20000", "--target", "unigram", "--target", "0.01"],
    ...["--out", "m"],
  ];
  const { code, stdout, stderr } = await here.run(args);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "# The smallest tiny");
  assertStringIncludes(stdout, "| loss ≤ 0.01 |  |  |  |  | none |");
  assert(
    /\| unigram: [^|]*\| \d\.\d{4} ± \d\.\d{4} \| [\d,]+ \|/.test(stdout),
    stdout,
  );
  const folders = ["round-1", "round-2", "round-3", "confirmation"];
  for (const folder of folders) {
    await Deno.stat(here.file(`m/${folder}/trials.jsonl`));
  }
  const again = await here.run(args);
  assertEquals([again.code, again.stdout], [0, stdout]);

  // With itself it has found the same: each trial counts once.
  const both = await here.run([...args, "--with", "m"]);
  assertEquals(both.code, 0, both.stderr);
  assertEquals(
    both.stdout.replace(" Searches of other sizes are included: ..", ""),
    stdout,
  );
  const other = await here.run([...args, "--steps", "9", "--with", "m"]);
  assertEquals(other.code, 1);
  assertStringIncludes(other.stderr, "Cannot report with m: it is a search of");
});

Deno.test("lab minimal says that all diverged", async () => {
  await using here = await place();
  const text = await Deno.readTextFile(here.file("text.txt"));
  const options = {
    ...{ preset: presets.tiny, name: "tiny", data: "text.txt", arms: 3 },
    vocabSize: Tokenizer.chars(text).vocabSize,
    ...{ steps: 40, least: 4000, most: 20_000 },
  };
  const plan = roundPlan(options, { round: 1, cells: candidates(options) });
  await Deno.mkdir(here.file("m/round-1"), { recursive: true });
  await here.write("m/round-1/plan.json", JSON.stringify(plan));
  const outcomes = trialsOf(plan).map(({ id, cell, seed, setting }) => ({
    ...{ id, cell, seed, setting, parameters: 5000, steps: 3, tokens: 9 },
    ...{ valLoss: null, trainLoss: null, curve: [], seconds: 1 },
    diverged: { step: 3, message: "the loss is no number" },
  }));
  await here.write(
    "m/round-1/trials.jsonl",
    outcomes.map((outcome) => `${JSON.stringify(outcome)}\n`).join(""),
  );
  const { code, stderr } = await here.run([
    ...["lab", "minimal", ...onText, "--steps", "40", "--arms", "3"],
    ...["--most", "20000", "--out", "m"],
  ]);
  assertEquals(code, 1, stderr);
  assertStringIncludes(
    stderr,
    "Cannot go on: no trial of m/round-1 has a loss",
  );
});

Deno.test("lab works tells what a text asks for, and what a model reaches", async () => {
  await using here = await place();
  const text = await here.run(["lab", "works", "--data", "text.txt"]);
  assertEquals(text.code, 0, text.stderr);
  assertStringIncludes(text.stdout, "spells   its words are words");
  const trained = await here.run(
    ["train", ...onText, "--steps", "2", "--out", "r"],
  );
  assertEquals(trained.code, 0, trained.stderr);
  // A terminal's locale may have no UTF-8.
  assertMatch(text.stdout, /^[\n -~]+$/);
  const { code, stdout, stderr } = await here.run(["lab", "works", "r"]);
  assertEquals(code, 0, stderr);
  assertEquals(stdout.match(/ (yes|no)$/gm)?.length, 12, stdout);
  assert(/^causal .* 1 +yes$/m.test(stdout), stdout);
  assert(!stdout.includes("it sees the tokens"), stdout);
  const unmasked = await here.run([
    ...["train", ...onText, "--steps", "2", "--mask", "none", "--out", "u"],
  ]);
  assertEquals(unmasked.code, 0, unmasked.stderr);
  const sees = await here.run(["lab", "works", "u"]);
  assertEquals(sees.code, 0, sees.stderr);
  // Its loss is below that of knowing nothing too.
  assert(/^uniform .* yes$/m.test(stdout), stdout);
  const [, asked, found] = /^uniform .* below ([\d.]+) +([\d.]+) +no$/m
    .exec(sees.stdout)!;
  assert(Number(found) < Number(asked), sees.stdout);
  assert(/^causal .* 0 +no$/m.test(sees.stdout), sees.stdout);
  assertStringIncludes(sees.stdout, "its loss reaches no rung");
});

Deno.test("lab refuses experiments that make no sense", async () => {
  await using here = await place();
  const cases: [args: string, code: number, says: string][] = [
    ["plan", 2, "Cannot plan: no experiment was given"],
    ["plan museums", 2, "Cannot plan museums"],
    ["ablate --seeds 0", 2, "is not an integer from 1 to 100"],
    ["ablate --jobs 0 --preset tiny", 2, "is not an integer from 1 to 256"],
    ["ablate --measure all", 2, "is none of loss, sample, works"],
    ["minimal --data text.txt --target best", 2, "above 0 or one of uniform,"],
    [
      "minimal --data text.txt --least 9 --most 9",
      2,
      "--least is not below --most",
    ],
    ["minimal --data text.txt --arms 1", 2, "is not an integer from 3"],
    ["works --data short.txt", 1, "Cannot measure abilities on"],
  ];
  await here.write("short.txt", play(1000));
  for (const [args, code, says] of cases) {
    const ended = await here.run(["lab", ...args.split(" ")]);
    assertEquals(ended.code, code, `${args}: ${ended.stderr}`);
    assertStringIncludes(ended.stderr, says);
  }
});

Deno.test("lab plan refuses what an experiment has no use for", async () => {
  await using here = await Workplace.create();
  const cases: [args: string, says: string][] = [
    ["ablate --part positon", "did you mean position?"],
    ["ablate --part vocabulary", "the fields are position, mask,"],
    ["scaling --part mask", "Cannot use --part in lab plan scaling"],
    ["positions --steps 5", "Cannot use --steps in lab plan positions"],
  ];
  for (const [args, says] of cases) {
    const { code, stderr } = await here.run(
      ["lab", "plan", ...args.split(" ")],
    );
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, says);
  }
});

Deno.test("Invalid lab flags are refused before a text or a study is read", async () => {
  await using here = await Workplace.create();
  const cases: readonly (readonly [line: string, message: string])[] = [
    ["run no-such-study --shard 5/4", '"5/4" is not I/N with I from 1 to N'],
    ["run no-such-study --shard 0/4", '"0/4" is not I/N'],
    ["run no-such-study --shard half", '"half" is not I/N'],
    [
      "minimal --data no-such-file --target 1.7 --target speling --target 2",
      'Cannot use --target speling: "speling" is not a number above 0 or one of uniform, unigram,',
    ],
    ["minimal --data no-such-file --target 0", '"0" is not a number above 0'],
    ["minimal --data no-such-file --least 9 --most 9", "from 9 to 9"],
    ["ablate --data -", "standard input, which can be read only once"],
    ["plan ablate --data -", "hint: name a file"],
    ["scaling --data=-", "standard input, which can be read only once"],
    ["minimal --data -", "standard input, which can be read only once"],
    ["ablate --device reference --threads 2", "Cannot use --threads with"],
    ["positions --device webgpu --threads 2", "Cannot use --threads with"],
    ["run no-such-study --device webgpu --threads 2", "Cannot use --threads"],
  ];
  await Promise.all(cases.map(async ([line, message]) => {
    const { code, stderr } = await here.run(["lab", ...line.split(" ")]);
    assertEquals(code, 2, line);
    assertStringIncludes(stderr, message, line);
  }));
  assertEquals(
    (await Array.fromAsync(Deno.readDir(here.path))).map(({ name }) => name),
    ["text.txt"],
  );
});

Deno.test("lab refuses a plan whose data is standard input", async () => {
  await using here = await Workplace.create();
  await here.run("lab plan ablate --quick --out s".split(" "));
  const plan = JSON.parse(await Deno.readTextFile(here.file("s/plan.json")));
  await here.write("s/plan.json", JSON.stringify({ ...plan, data: "-" }));
  for (const verb of ["run", "merge", "report"]) {
    const { code, stderr } = await here.run(["lab", verb, "s"]);
    assertEquals(code, 1, verb);
    assertStringIncludes(
      stderr,
      "plan.json: its data is standard input, which can be read only once\nhint: name a file",
    );
  }
});

Deno.test("lab --part takes a field's name, its flag, or the name with underscores", async () => {
  await using here = await Workplace.create();
  const cells = async (...parts: string[]) => {
    const flags = parts.flatMap((part) => ["--part", part]);
    const out = parts.join("+");
    const { code, stdout, stderr } = await here.run(
      ["lab", "plan", "ablate", "--quick", "--out", out, ...flags],
    );
    assertEquals(code, 0, stderr);
    return stdout;
  };
  const field = await cells("nLayer");
  assertStringIncludes(field, "nLayer");
  for (const name of ["n-layer", "n_layer"]) {
    assertEquals(await cells(name), field);
  }
  const both = await cells("nLayer", "normPlacement");
  assertEquals(await cells("n-layer", "norm_placement"), both);
});

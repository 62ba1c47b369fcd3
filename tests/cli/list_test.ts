/** `list` on folders of runs in every state, and what `info` says of a run. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { table } from "../../lib/cli/verbs/list.ts";
import { readRunSummary } from "../../lib/cli/run/summary.ts";
import { command, SMALL, Workplace } from "./process.ts";

/** Writes a run by hand: `config.json` and events. */
async function writeRun(
  here: Workplace,
  path: string,
  config: object,
  events: readonly object[],
): Promise<void> {
  await Deno.mkdir(here.file(path), { recursive: true });
  await here.write(`${path}/config.json`, JSON.stringify(config));
  const lines = events.map((event) => `${JSON.stringify(event)}\n`);
  await here.write(`${path}/metrics.jsonl`, lines.join(""));
}

const start = { event: "start", step: 0, time: 1 };
const step = (step: number, loss: number | null = 3) => ({
  event: "step",
  step,
  loss,
});
const evaluation = (step: number, valLoss: number | null) => ({
  event: "eval",
  step,
  trainLoss: 2.5,
  valLoss,
});

Deno.test("list shows a line per run with its settings, losses, size and state, newest first", async () => {
  await using here = await Workplace.create();
  const made = await here.run(["train", ...SMALL, "--out", "runs/small"]);
  assertEquals(made.code, 0, made.stderr);
  const tiny = await here.run(
    "train --preset tiny --data text.txt --device reference --steps 3 --out runs/later"
      .split(" "),
  );
  assertEquals(tiny.code, 0, tiny.stderr);
  const { code, stdout, stderr } = await here.run(["list"]);
  assertEquals([code, stderr], [0, ""]);
  const [header, first, second, ...rest] = stdout.trimEnd().split("\n");
  assertMatch(
    header!,
    /^NAME +PRESET +STEPS +TRAIN +BEST VAL +BEGAN +SIZE +STATE$/,
  );
  assertMatch(
    first!,
    /^later +tiny +3\/3 +\d\.\d{4} +\d\.\d{4} +\d{4}-\d\d-\d\d \d\d:\d\d +[\d.]+ KiB +finished$/,
  );
  assertMatch(second!, /^small +custom +12\/12 .* finished$/);
  assertEquals(rest, []);

  const json = await here.run(["list", "--json"]);
  const runs = json.stdout.trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals(runs.map(({ name }) => name), ["later", "small"]);
  let bytes = 0;
  for await (const { name } of Deno.readDir(here.file("runs/small"))) {
    bytes += (await Deno.stat(here.file("runs/small", name))).size;
  }
  assertEquals(runs[1].bytes, bytes);
  assertStringIncludes(runs[1].command, " train --preset tiny --device ");
});

Deno.test("A run's size counts a file of two names once", async () => {
  await using here = await Workplace.create();
  await writeRun(here, "run", {}, [step(1)]);
  const before = (await readRunSummary(here.file("run"))).bytes;
  await here.write("run/checkpoint.safetensors", "12345");
  await Deno.link(
    here.file("run/checkpoint.safetensors"),
    here.file("run/checkpoint-000001.safetensors"),
  );
  assertEquals((await readRunSummary(here.file("run"))).bytes, before + 5);
});

Deno.test("list distinguishes running, finished, stopped, failed and killed runs", async () => {
  await using here = await Workplace.create();
  const config = { train: { maxSteps: 9 } };
  const end = (reason: string, more = {}) => ({
    event: "end",
    step: 2,
    reason,
    ...more,
  });
  const ends: Record<string, object[]> = {
    finished: [end("done")],
    stopped: [end("aborted")],
    patient: [end("stopped", { why: "--max-time 3s reached" })],
    failed: [end("failed", { message: "Cannot go on" })],
    killed: [],
    again: [end("done"), { ...start, step: 2 }],
  };
  for (const [name, events] of Object.entries(ends)) {
    await writeRun(here, `runs/${name}`, config, [start, step(2), ...events]);
  }
  await here.write("runs/config.json", "{}"); // a file beside them is no run
  const running = command(
    [
      "train",
      ...SMALL,
      ..."--steps 1000000 --json --out runs/running".split(" "),
    ],
    { cwd: here.path },
  ).spawn();
  const said = new Response(running.stderr).text();
  const reader = running.stdout.getReader();
  await reader.read();
  const { stdout } = await here.run(["list", "--json"]);
  running.kill("SIGTERM");
  while (!(await reader.read()).done);
  await running.status;
  await said;
  const states = Object.fromEntries(
    stdout.trimEnd().split("\n").map((line) => JSON.parse(line))
      .map(({ name, state, why }) => [name, [state, why]]),
  );
  assertEquals(states, {
    finished: ["finished", null],
    stopped: ["stopped", null],
    patient: ["stopped", "--max-time 3s reached"],
    failed: ["failed", "Cannot go on"],
    killed: ["stopped", null],
    again: ["stopped", null],
    running: ["running", null],
  });
  const { state, why } = await readRunSummary(here.file("runs/running"));
  assertEquals([state, why], ["stopped", null]);
});

Deno.test("list names what is wrong with an entry and shows the others", async () => {
  await using here = await Workplace.create();
  await writeRun(here, "other/good", { train: { maxSteps: 2 } }, [step(1)]);
  await writeRun(here, "other/broken", {}, []);
  await here.write("other/broken/config.json", '{"train":');
  await writeRun(here, "other/listed", {}, []);
  await here.write("other/listed/config.json", "[1]");
  await writeRun(here, "other/unreadable", {}, []);
  await Deno.remove(here.file("other/unreadable/metrics.jsonl"));
  await Deno.mkdir(here.file("other/unreadable/metrics.jsonl"));
  await Deno.mkdir(here.file("other/empty"));
  await Deno.symlink("nowhere", here.file("other/dangling"));
  await Deno.symlink("loop", here.file("other/loop"));
  await Deno.symlink(here.file("text.txt"), here.file("other/text"));
  const { code, stdout, stderr } = await here.run(["list", "other"]);
  assertEquals(code, 0, stderr);
  assertEquals(stdout.trimEnd().split("\n").length, 2, stdout);
  assertMatch(stdout, /^good +custom +1\/2 +- +- +- /m);
  for (
    const line of [
      "other/broken/config.json: it is not a JSON object",
      "other/unreadable/metrics.jsonl: it is a directory",
      "other/empty: it is not a run",
      "other/dangling: it is not a run",
      "other/loop/config.json: ",
    ]
  ) assertStringIncludes(stderr, `warning: Cannot read ${line}`);
  assertEquals(stderr.trimEnd().split("\n").length, 6, stderr);

  const json = await here.run(["list", "other", "--json"]);
  assertEquals([json.code, json.stderr], [0, ""]);
  const lines = json.stdout.trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals(lines.length, 7);
  assertEquals(
    lines.filter((line) => "error" in line).map(({ path }) => path).sort(),
    ["broken", "dangling", "empty", "listed", "loop", "unreadable"]
      .map((name) => `other/${name}`),
  );
});

Deno.test("list without runs says so and succeeds; a folder that is not there is refused", async () => {
  await using here = await Workplace.create();
  await Deno.mkdir(here.file("none"));
  for (
    const [args, folder] of [[["list"], "runs"], [
      ["list", "none"],
      "none",
    ]] as const
  ) {
    const { code, stdout, stderr } = await here.run(args);
    assertEquals([code, stdout], [0, ""]);
    assertMatch(
      stderr,
      new RegExp(
        `^there are no runs in ${folder}\nhint: .* train makes one\n$`,
      ),
    );
  }
  await writeRun(here, "run", {}, []);
  const itself = await here.run(["list", "run"]);
  assertEquals(itself.code, 0);
  assertMatch(itself.stderr, /hint: it is a run itself: .* info run\n$/);
  for (const folder of ["missing", "text.txt"]) {
    const { code, stdout, stderr } = await here.run(["list", folder]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, new RegExp(`^error: Cannot (list|read) ${folder}: `));
  }
  const two = await here.run(["list", "a", "b"]);
  assertEquals(two.code, 2);
});

Deno.test("A table fits into narrow terminals, and hides nothing where there is room", async () => {
  await using here = await Workplace.create();
  const name = "a name\nwith a line end and more";
  await writeRun(here, name, {}, [
    step(1),
    evaluation(1, 2),
    evaluation(2, null),
  ]);
  const run = await readRunSummary(here.file(name));
  assertEquals([run.bestValLoss, run.bestStep, run.valLoss], [2, 1, null]);
  await writeRun(
    here,
    "worse",
    {},
    [3, 2, 2.5, 2].map((loss, i) => evaluation(i + 1, loss)),
  );
  const worse = await readRunSummary(here.file("worse"));
  assertEquals([worse.bestValLoss, worse.bestStep, worse.valLoss], [2, 2, 2]);
  // A part of the split may be easier: its loss is not the lowest of a run that measured more.
  const measured = [[64, 1], [128, 3], [128, 2], [64, 0.5]] as const;
  await writeRun(
    here,
    "parts",
    {},
    measured.map(([tokens, loss], i) => ({
      ...evaluation(i + 1, loss),
      tokens,
    })),
  );
  const parts = await readRunSummary(here.file("parts"));
  assertEquals([parts.bestValLoss, parts.bestStep], [2, 3]);
  const whole = table([run], Infinity, "~");
  assertEquals(whole.split("\n").length, 3);
  assertStringIncludes(whole, "a name with a line end and more  custom");
  for (const width of [80, 60, 40, 30, 20]) {
    const lines = table([run], width, "~").trimEnd().split("\n");
    for (const line of lines) assert(line.length <= width, line);
    assertMatch(lines[1]!, /^a name.* 2\.0000/);
  }
  // Two columns for each of these, none for an accent of its own.
  const odd = table([run, { ...run, name: "名前🙂e\u0301" }], Infinity, "~");
  const [, first, second] = odd.split("\n");
  assertEquals(first!.indexOf("custom"), 33);
  assertEquals(second!.indexOf("custom"), 33 - 7 + 6);
  const narrow = table([{ ...run, name: "名".repeat(20) }], 20, "~");
  assertMatch(narrow, /^名{4}~ {2} {3}2\.0000$/m);
});

Deno.test("info on a run says how it went, with which command, and how low its loss got", async () => {
  await using here = await Workplace.create();
  const args = ["train", ...SMALL, "--out", "my run"];
  assertEquals((await here.run(args)).code, 0);
  const { code, stdout } = await here.run(["info", "my run"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^state {7}finished, 12 of 12 steps$/m);
  assertMatch(
    stdout,
    /^loss {8}train \d\.\d{4}, validation \d\.\d{4} at step 12$/m,
  );
  assertMatch(stdout, /^lowest {6}validation \d\.\d{4} at step (6|12)$/m);
  assertMatch(stdout, /^command {5}.* train --preset tiny .* --out 'my run'$/m);
  // A run that has no checkpoint yet is described by its record.
  await Deno.remove(here.file("my run/checkpoint.safetensors"));
  const without = await here.run(["info", "my run"]);
  assertEquals(without.code, 0, without.stderr);
  assertMatch(without.stdout, /^my run, no checkpoint yet$/m);
  assertMatch(without.stdout, /^state {7}finished/m);
  assertMatch(without.stdout, /^position +rope$/m);
});

Deno.test("info --json gives one object, of whatever it is about", async () => {
  await using here = await Workplace.create();
  assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await here.run([
      "info",
      ...args,
      "--json",
    ]);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout.trimEnd().split("\n").length, 1);
    return JSON.parse(stdout);
  };
  const machine = await json();
  assertEquals(machine.auto === "webgpu" || machine.auto === "wasm", true);
  assertMatch(machine.wasm, /^CPU, \d+ threads?/);
  const run = await json("run");
  assertEquals([run.run.name, run.run.state, run.step], [
    "run",
    "finished",
    12,
  ]);
  assertEquals(run.model.nEmbd, 8);
  const count = (tensors: { length: number }[]) =>
    tensors.reduce((sum, { length }) => sum + length, 0);
  assertEquals(count(run.tensors), run.parameters);
  const file = await json("run/best.safetensors");
  assertEquals([file.run, file.path], [null, "run/best.safetensors"]);
  const preset = await json("--preset", "original");
  assertEquals([preset.preset, preset.parameters], ["original", 826_240]);
  assertEquals(count(preset.tensors), 826_240);
  const plan = await json("--preset", "tiny", "--plan", "decode");
  assertEquals(plan.name, "decode");
  assert(plan.dispatches.length > 10);
});

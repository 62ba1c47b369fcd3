/** Runs that were killed at bad moments, and what they tell once they have gone on. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import type { Death } from "../../tools/faults/dying_run.ts";
import {
  differences,
  readRunRecord,
  type RunRecord,
} from "../../tools/faults/run_record.ts";
import { compileStub, stubTest } from "../wasm/blas_libraries.ts";
import { command, SMALL, Workplace } from "./process.ts";

const dyingRun = fromFileUrl(
  new URL("../../tools/faults/dying_run.ts", import.meta.url),
);

const noSignals = Deno.build.os === "windows"; // by which a process could be killed

/** Runs the program until it kills itself. */
async function runUntil(
  death: Death,
  args: readonly string[],
  cwd: string,
): Promise<void> {
  const { signal, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", dyingRun, JSON.stringify(death), ...args],
    cwd,
    stdout: "null",
    stderr: "piped",
  }).output();
  assertEquals(signal, "SIGKILL", new TextDecoder().decode(stderr));
}

const RESUME = "train --resume run --device reference".split(" ");

/** Where a run of 12 steps, with all that is due at 6 and 12, is hit. */
const deaths: readonly Death[] = [
  { of: "rename checkpoint", moment: "after" },
  { of: 'write metrics.jsonl {"event":"checkpoint"', moment: "half" },
  { of: 'write metrics.jsonl {"event":"checkpoint"', moment: "after" },
  { of: 'write metrics.jsonl {"event":"eval"', moment: "half" },
  { of: 'write metrics.jsonl {"event":"eval"', moment: "after" },
  { of: "rename best", moment: "before" },
  { of: 'write metrics.jsonl {"event":"sample"', moment: "after" },
  { of: "write samples.txt", moment: "half" },
  { of: 'write metrics.jsonl {"event":"step","step":9', moment: "half" },
  { of: "write checkpoint", nth: 2, moment: "half" },
  { of: "rename checkpoint", nth: 2, moment: "after" },
  { of: 'write metrics.jsonl {"event":"eval","step":12', moment: "before" },
  { of: 'write metrics.jsonl {"event":"sample","step":12', moment: "half" },
  { of: 'write metrics.jsonl {"event":"end"', moment: "half" },
];

let whole: Promise<RunRecord> | undefined;

/** What the run tells that nothing disturbs. */
function uninterrupted(): Promise<RunRecord> {
  return whole ??= (async () => {
    await using here = await Workplace.create();
    const { code, stderr } = await here.run([
      "train",
      ...SMALL,
      "--out",
      "run",
    ]);
    assertEquals(code, 0, stderr);
    const record = await readRunRecord(here.file("run"));
    // 12 steps, what is due at 6 and 12, and how far step 7 moved the weights.
    assertEquals(record.events.length, 12 + 2 * 3 + 1);
    assertEquals(record.reason, "done");
    return record;
  })();
}

for (const death of deaths) {
  const { of, nth = 1, moment } = death;
  Deno.test({
    name:
      `train --resume after a death ${moment} ${of} (${nth}) records everything once`,
    ignore: noSignals,
    fn: async () => {
      const expected = await uninterrupted();
      await using here = await Workplace.create();
      await runUntil(death, ["train", ...SMALL, "--out", "run"], here.path);
      const { code, stderr } = await here.run(RESUME);
      assertEquals(code, 0, stderr);
      assertEquals(
        differences(await readRunRecord(here.file("run")), expected),
        [],
      );
    },
  });
}

Deno.test({
  name:
    "train --resume that is killed while it resumes the run can be repeated",
  ignore: noSignals,
  fn: async () => {
    const expected = await uninterrupted();
    await using here = await Workplace.create();
    const killed = { of: 'write metrics.jsonl {"event":"step","step":9' };
    await runUntil(
      { ...killed, moment: "half" },
      ["train", ...SMALL, "--out", "run"],
      here.path,
    );
    const again: Death[] = [
      { of: "write metrics.jsonl.partial", moment: "half" },
      { of: "rename metrics.jsonl", moment: "after" },
      { of: "rename samples", moment: "before" },
      { of: "rename config", moment: "before" },
      { of: 'write metrics.jsonl {"event":"start"', moment: "half" },
    ];
    for (const death of again) await runUntil(death, RESUME, here.path);
    const { code, stderr } = await here.run(RESUME);
    assertEquals(code, 0, stderr);
    assertEquals(
      differences(await readRunRecord(here.file("run")), expected),
      [],
    );
  },
});

Deno.test("train --resume refuses a run that is complete", async () => {
  await using here = await Workplace.create();
  assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
  const before = await readRunRecord(here.file("run"));
  const { code, stderr } = await here.run(RESUME);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "Cannot resume run: it has done 12 of 12 steps");
  assertEquals(differences(await readRunRecord(here.file("run")), before), []);
});

Deno.test("train --resume refuses a run that another process trains", async () => {
  await using here = await Workplace.create();
  const long = ["--steps", "1000000", "--out", "run", "--json"];
  const first = command(["train", ...SMALL, ...long], { cwd: here.path })
    .spawn();
  const said = new Response(first.stderr).text();
  const reader = first.stdout.getReader();
  const saved = here.file("run/checkpoint.safetensors");
  while (!await Deno.stat(saved).catch(() => undefined)) {
    assert(!(await reader.read()).done);
  }
  const second = await here.run(RESUME);
  first.kill(noSignals ? "SIGTERM" : "SIGINT");
  while (!(await reader.read()).done);
  await first.status;
  await said;
  assertEquals(second.code, 1);
  assertStringIncludes(
    second.stderr,
    "Cannot resume run: another process is training into it",
  );
  if (noSignals) return;
  // What it looked at, it left alone: no line is missing, none stands twice.
  const { events } = await readRunRecord(here.file("run"));
  const steps = events.map((line) => JSON.parse(line))
    .filter(({ event }) => event === "step").map(({ step }) => step as number);
  assertEquals(steps, steps.map((_, i) => i + 1));
});

Deno.test("train --resume drops a last line of events that was torn", async () => {
  await using here = await Workplace.create();
  // A constant rate: the end of a cosine depends on the number of steps.
  const args = ["train", ...SMALL, "--schedule", "constant", "--out"];
  assertEquals((await here.run([...args, "whole"])).code, 0);
  assertEquals((await here.run([...args, "run", "--steps", "6"])).code, 0);
  const torn = '{"event":"step","step":7,"lo';
  await Deno.writeTextFile(here.file("run/metrics.jsonl"), torn, {
    append: true,
  });
  const { code, stderr } = await here.run([...RESUME, "--steps", "12"]);
  assertEquals(code, 0, stderr);
  assertEquals(
    differences(
      await readRunRecord(here.file("run")),
      await readRunRecord(here.file("whole")),
    ),
    [],
  );
});

stubTest(
  "A run that is resumed with another BLAS says that its bits will differ, and records both",
  async (directory) => {
    await using here = await Workplace.create();
    const path = await compileStub(directory);
    const small = SMALL.map((word) => word === "reference" ? "wasm" : word)
      .filter((word, i) => word !== "--steps" && SMALL[i - 1] !== "--steps");
    const args = ["train", ...small, "--blas", "off"];
    const begun = await here.run([...args, "--out", "run", "--steps", "2"]);
    assertEquals(begun.code, 0, begun.stderr);
    const resume = async (steps: number, blas: string) => {
      const { code, stderr } = await here.run([
        ..."train --resume run --device wasm --blas".split(" "),
        ...[blas, "--steps", String(steps)],
      ]);
      assertEquals(code, 0, stderr);
      return stderr;
    };
    assert(!(await resume(4, "off")).includes("products were computed"));
    assertStringIncludes(
      await resume(6, path),
      "products were computed by the engine itself, now by libstub.so: the weights will differ in their last bits",
    );
    assert(!(await resume(8, path)).includes("products were computed"));
    assertStringIncludes(
      await resume(10, "off"),
      "products were computed by libstub.so, now by the engine itself",
    );
    const config = JSON.parse(
      await Deno.readTextFile(here.file("run/config.json")),
    );
    const libraries = [config, ...config.resumed].map(({ device }) =>
      device.blas
    );
    assertEquals(libraries, [null, null, "libstub.so", "libstub.so", null]);
  },
);

/** Files of a run that are long, broken, or cannot be read. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CommandError } from "../../lib/cli/errors.ts";
import { exists, readLines, replaceFile } from "../../lib/cli/files.ts";
import { SMALL, Workplace } from "./process.ts";

Deno.test("readLines yields what split does, across the edges of pieces", async () => {
  await using here = await Workplace.create();
  const lines = Array.from({ length: 300 }, (_, i) => "é".repeat(i * 7 % 1000));
  lines[5] = "long".repeat(50_000);
  const file = here.file("lines");
  await Deno.writeTextFile(file, lines.map((line) => `${line}\n`).join(""));
  assertEquals(await Array.fromAsync(readLines(file)), lines);
  await Deno.writeTextFile(file, "torn", { append: true });
  assertEquals(await Array.fromAsync(readLines(file)), [...lines, "torn"]);
});

Deno.test("readLines yields undefined for a line that is not UTF-8, and nothing for no file", async () => {
  await using here = await Workplace.create();
  const file = here.file("lines");
  await Deno.writeFile(file, Uint8Array.of(97, 10, 0xff, 10, 98, 10));
  assertEquals(await Array.fromAsync(readLines(file)), ["a", undefined, "b"]);
  assertEquals(await Array.fromAsync(readLines(here.file("none"))), []);
});

Deno.test("A file that cannot be read is not taken for one that is not there", async () => {
  await using here = await Workplace.create();
  await Deno.writeTextFile(here.file("file"), "");
  assertEquals(await exists(here.file("none")), false);
  await assertRejects(() => exists(here.file("file/below")), CommandError);
  await Deno.mkdir(here.file("folder"));
  await assertRejects(
    () => Array.fromAsync(readLines(here.file("folder"))),
    CommandError,
    "Cannot read",
  );
});

Deno.test("replaceFile leaves the old file and no other if its content fails", async () => {
  await using here = await Workplace.create();
  const file = here.file("kept");
  await Deno.writeTextFile(file, "old");
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Uint8Array.of(1));
    throw new Error("No space left on device");
  }
  await assertRejects(
    () => replaceFile(file, failing()),
    CommandError,
    "No space left on device",
  );
  assertEquals(await Deno.readTextFile(file), "old");
  assertEquals(await exists(`${file}.partial`), false);
});

Deno.test("train --resume and report refuse events that cannot be read, and change no file", async () => {
  await using here = await Workplace.create();
  const made = await here.run(["train", ...SMALL, "--out", "run"]);
  assertEquals(made.code, 0, made.stderr);
  const metrics = here.file("run/metrics.jsonl");
  await Deno.rename(metrics, here.file("aside"));
  await Deno.mkdir(metrics); // reading it fails, for every user
  const states = async () =>
    await Promise.all(
      (await Array.fromAsync(Deno.readDir(here.file("run"))))
        .toSorted((a, b) => a.name < b.name ? -1 : 1)
        .map(async ({ name }) => {
          const { mtime, size } = await Deno.stat(here.file(`run/${name}`));
          return [name, mtime?.getTime(), size];
        }),
    );
  const before = await states();
  for (
    const args of [
      ["train", "--resume", "run", "--steps", "20"],
      ["report", "run"],
    ]
  ) {
    const { code, stderr } = await here.run(args);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "run/metrics.jsonl: ");
    assertEquals(await states(), before);
  }
});

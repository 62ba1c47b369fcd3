/** The file in which the times of devices are kept. */

import { assertEquals } from "@std/assert";
import { VerdictFile } from "../../lib/cli/run/verdict_file.ts";
import { Workplace } from "./process.ts";

const verdict = { gpuMs: 1.5, cpuMs: 2, refused: null };

Deno.test("Verdicts are kept by key, for the programs that measured them", async () => {
  await using here = await Workplace.create();
  const path = here.file("cache", "devices.json");
  const file = new VerdictFile(path, "lm 1");
  assertEquals(await file.get("a"), undefined);
  await file.set("a", verdict);
  const refused = { ...verdict, refused: "its logits differ" };
  await file.set("b", refused);
  const again = new VerdictFile(path, "lm 1");
  assertEquals([await again.get("a"), await again.get("b")], [
    verdict,
    refused,
  ]);
  const other = new VerdictFile(path, "lm 2");
  assertEquals(await other.get("a"), undefined);
  await other.set("c", verdict);
  assertEquals(await again.get("a"), undefined);
});

for (const text of ["", "{", "[]", "null", '{"version":"lm 1"}', "\xff"]) {
  Deno.test(`A file of ${JSON.stringify(text)} counts as empty, and is replaced`, async () => {
    await using here = await Workplace.create();
    await here.write("devices.json", text);
    const file = new VerdictFile(here.file("devices.json"), "lm 1");
    assertEquals(await file.get("a"), undefined);
    await file.set("a", verdict);
    assertEquals(await file.get("a"), verdict);
  });
}

Deno.test("A verdict that is none counts as missing", async () => {
  await using here = await Workplace.create();
  const version = "lm 1";
  const path = here.file("devices.json");
  for (const b of [5, null, "x", {}, { gpuMs: "1", cpuMs: 2 }, { gpuMs: 1 }]) {
    await here.write(
      "devices.json",
      JSON.stringify({ version, verdicts: { a: verdict, b } }),
    );
    const file = new VerdictFile(path, version);
    assertEquals(await file.get("b"), undefined);
    assertEquals(await file.get("a"), verdict);
  }
});

Deno.test("A place where no file can be written keeps nothing, without an error", async () => {
  await using here = await Workplace.create();
  const file = new VerdictFile(here.file("text.txt", "devices.json"), "lm 1");
  await file.set("a", verdict);
  assertEquals(await file.get("a"), undefined);
});

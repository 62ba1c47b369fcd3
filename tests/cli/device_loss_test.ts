import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { skipped, suffix } from "../gpu/adapter.ts";
import { type LossPlace, lossPlaces } from "../gpu/losing_device.ts";
import { SMALL, Workplace } from "./process.ts";

const script = fromFileUrl(new URL("losing_device.ts", import.meta.url));

/** Trains into `run` on a device that is lost as planned. */
async function run(here: Workplace, plan: string, ...more: string[]) {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      script,
      plan,
      ...SMALL,
      "--eval-tokens",
      "64",
      "--out",
      "run",
      ...more,
    ],
    cwd: here.path,
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

/** The steps, evaluations and checkpoints that a run told of. */
async function told(here: Workplace): Promise<[string, number][]> {
  const text = await Deno.readTextFile(here.file("run/metrics.jsonl"));
  return text.trimEnd().split("\n").map((line) => JSON.parse(line))
    .filter(({ event }) => event !== "start" && event !== "end")
    .map(({ event, step }) => [event, step]);
}

/** The weights that a run ended with. */
async function weights(place: Workplace) {
  const path = place.file("run/checkpoint.safetensors");
  return decodeCheckpoint(await Deno.readFile(path)).tensors;
}

/** What an undisturbed run tells. */
const all = Array.from({ length: 12 }, (_, i) => i + 1).flatMap(
  (step): [string, number][] => [
    ["step", step],
    ...(step === 7 ? [["update", 7] as [string, number]] : []),
    ...(step % 6 === 0
      ? ["checkpoint", "eval", "sample"].map((event): [string, number] => [
        event,
        step,
      ])
      : []),
  ],
);

Deno.test("A run resumes from its checkpoint when the GPU is lost and comes back", async () => {
  await using here = await Workplace.create();
  await using other = await Workplace.create();
  const { code, stderr } = await run(here, "8,99");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "warning: Cannot go on: the GPU was unplugged");
  assertStringIncludes(stderr, "after step 6 on the same device");
  assertEquals(await told(here), all);
  await run(other, "99");
  assertEquals(await weights(here), await weights(other));
});

Deno.test("A run resumes from its beginning when the GPU is lost before a checkpoint", async () => {
  await using here = await Workplace.create();
  const { code, stderr } = await run(here, "3,99");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "continuing after step 0");
  assertEquals(await told(here), all);
});

Deno.test("A run stays on a GPU that is lost again after a checkpoint", async () => {
  await using here = await Workplace.create();
  await using other = await Workplace.create();
  const { code, stderr } = await run(here, "3,8,99");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "after step 0 on the same device");
  assertStringIncludes(stderr, "after step 6 on the same device");
  assertEquals(await told(here), all);
  await run(other, "99");
  assertEquals(await weights(here), await weights(other));
});

for (
  const [what, plan] of [
    ["is lost again", "8,3"],
    ["is lost again after it was lost long before", "3,8,5"],
    ["stays away", "8,none"],
    ["stays away after it was lost long before", "3,8,none"],
  ]
) {
  Deno.test(`A run continues on the CPU when the GPU ${what}`, async () => {
    await using here = await Workplace.create();
    const { code, stderr } = await run(here, plan!);
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "on the CPU: the weights will differ");
    assertStringIncludes(stderr, "parameters on wasm");
    assertEquals(await told(here), all);
  });
}

Deno.test("A run in float16 ends when the GPU is lost again, as the CPU has none", async () => {
  await using here = await Workplace.create();
  const half = ["--precision", "f16"];
  const ended = await run(here, "3,8,2", ...half);
  assertEquals(ended.code, 1, ended.stderr);
  assertStringIncludes(ended.stderr, "after step 6 on the same device");
  assertStringIncludes(ended.stderr, "the GPU was unplugged");
  assertEquals((await told(here)).at(-1), ["step", 8]);
});

Deno.test({
  name: `A run continues wherever a real device is lost${suffix}`,
  ignore: skipped,
  fn: async (test) => {
    await using other = await Workplace.create();
    const undisturbed = await run(other, "webgpu");
    assertEquals(undisturbed.code, 0, undisturbed.stderr);
    const counted = undisturbed.stderr.trimEnd().split("\n").at(-1)!;
    const calls: Record<LossPlace, number> = JSON.parse(counted);
    for (const place of lossPlaces) {
      // At the first the run may have no directory yet. How often is read depends on the time that steps take.
      const chosen = [1, Math.ceil(0.75 * calls[place])];
      await test.step(`${place} ${chosen.join(" or ")}`, async () => {
        await Promise.all(chosen.map(async (call) => {
          await using here = await Workplace.create();
          const { code, stderr } = await run(here, `${place}:${call},webgpu`);
          assertEquals(code, 0, stderr);
          assertStringIncludes(stderr, "on the same device");
          assertEquals(await told(here), all);
          assertEquals(await weights(here), await weights(other));
        }));
      });
    }
  },
});

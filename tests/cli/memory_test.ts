/** `train` and `info` on a device with little memory. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { fromFileUrl } from "@std/path";
import { type Outcome, Workplace } from "./process.ts";

const script = fromFileUrl(new URL("small_device.ts", import.meta.url));

/** Trains on the CPU with so many pages of 64 KiB. */
async function train(
  here: Workplace,
  pages: number,
  args: string,
): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, `${pages}`, ...args.split(" ")],
    cwd: here.path,
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

const MODEL = "--preset tiny --n-embd 48 --n-layer 2 --batch-size 12";
const SIZES = `${MODEL} --data text.txt --steps 4`;
const INTERVALS = "--eval-interval 2 --sample-interval 2";

/** The two numbers and the hint of an error. */
function parts(stderr: string) {
  const found = stderr.match(
    /^error: (.*) it needs ([\d.]+ [MG]B), ([\d.]+ [MG]B) are free\nhint: (.*)\n$/,
  );
  assert(found, stderr);
  const [, what, needed, room, hint] = found;
  return { what, needed, room, hint: hint! };
}

async function entries(here: Workplace): Promise<string[]> {
  const all = await Array.fromAsync(Deno.readDir(here.path));
  return all.map(({ name }) => name).sort();
}

Deno.test("train refuses a run that its device has no memory for, before it makes a directory", async () => {
  await using here = await Workplace.create();
  const before = await entries(here);
  const { code, stderr } = await train(here, 60, `${SIZES} ${INTERVALS}`);
  assertEquals(code, 1);
  const { what, needed, hint } = parts(stderr);
  assertEquals(what, "Cannot train with --batch-size 12 and --block-size 32:");
  assertEquals(await entries(here), before);

  // The hint helps.
  const flags = hint.match(/^(--batch-size \d+ --grad-accumulation \d+) fits/);
  assert(flags, hint);
  const smaller = `${SIZES} ${INTERVALS} ${flags[1]} --out run`;
  const done = await train(here, 60, smaller);
  assertEquals(done.code, 0, done.stderr);
  assertStringIncludes(done.stderr, "4 of 4 steps");

  // What info says is what is checked, on another device of the kind.
  const about =
    `info ${MODEL} --vocab-size 15 --device wasm --threads 1 --blas off`;
  const card = await here.run(about.split(" "));
  assertMatch(card.stdout, new RegExp(`^training +${needed}, eval`, "m"));
});

Deno.test("train says so where no batch is small enough, or the weights alone do not fit", async () => {
  await using here = await Workplace.create();
  for (
    const [width, what] of [
      ["48", "Cannot train with --batch-size 12 and --block-size 32:"],
      ["480", "Cannot allocate params:"],
    ] as const
  ) {
    const refused = await train(here, 20, SIZES.replace("48", width));
    assertEquals(refused.code, 1);
    const error = parts(refused.stderr);
    assertEquals(error.what, what);
    assertStringIncludes(error.hint, "a smaller --n-layer, --n-embd");
  }
  assertEquals(await entries(here), ["text.txt"]);
});

for (const optimizer of ["adamw", "muon"]) {
  Deno.test(`train --resume on a device with less memory leaves a run of ${optimizer} alone, and its hint helps`, async () => {
    await using here = await Workplace.create();
    const sizes = `${SIZES} --optimizer ${optimizer}`;
    const begun = await train(here, 130, `${sizes} --out run`);
    assertEquals(begun.code, 0, begun.stderr);
    const written = async () => [
      await Deno.readTextFile(here.file("run/metrics.jsonl")),
      await Deno.readTextFile(here.file("run/config.json")),
      ...await entries(here),
    ];
    const before = await written();
    const refused = await train(here, 60, "--resume run --steps 8");
    assertEquals(refused.code, 1);
    assertEquals(await written(), before);

    const { hint } = parts(refused.stderr);
    const [, command] = hint.match(
      /^a resumed run keeps its batch size: .* train (--init run .*) fits/,
    )!;
    // Muon is what a new run has by default.
    assertEquals(command!.includes("--optimizer adamw"), optimizer === "adamw");
    const args = `${command} --data text.txt --steps 2 --out next`;
    const next = await train(here, 60, args);
    assertEquals(next.code, 0, next.stderr);
    const again = await train(here, 130, "--resume run --steps 8");
    assertEquals(again.code, 0, again.stderr);
  });
}

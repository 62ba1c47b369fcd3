/** Runs whose disk is full, read-only or taken away. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import { differences, readRunRecord } from "../../tools/faults/run_record.ts";
import { cli, command, type Outcome, SMALL, Workplace } from "./process.ts";

const RESUME = ["train", "--resume", "run", "--device", "reference"];

/** Runs a shell script in which `lm` is the program; in mounts of its own, if asked for. */
async function shell(
  script: string,
  cwd: string,
  { mounts = false }: { readonly mounts?: boolean } = {},
): Promise<Outcome> {
  const lm = `lm() { "${Deno.execPath()}" run -A "${cli}" "$@"; }\n`;
  const [program, ...args] = [
    ...(mounts ? ["unshare", "--map-root-user", "--mount"] : []),
    ...["sh", "-c", lm + script],
  ];
  const { code, stdout, stderr } = await new Deno.Command(program!, {
    args,
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

const small = SMALL.join(" ");

/** True if an ordinary user may mount, in a namespace of their own. */
const canMount = Deno.build.os === "linux" &&
  await shell("mkdir -p disk && mount -t tmpfs none disk", "/tmp", {
    mounts: true,
  }).then(({ code }) => code === 0, () => false);

Deno.test({
  name:
    "train stops on a disk that is full, keeps what it saved, and goes on when there is room",
  ignore: !canMount, // Linux with user namespaces
  fn: async () => {
    await using here = await Workplace.create();
    const whole = await here.run(["train", ...SMALL, "--out", "whole"]);
    assertEquals(whole.code, 0, whole.stderr);
    // Room for the first checkpoint (25 kB) and all else, not for a second one beside it.
    const { code, stdout, stderr } = await shell(
      `mkdir disk && mount -t tmpfs -o size=64k none disk || exit 9
      lm train ${small} --out disk/run > /dev/null; echo "full: $?"
      ls disk/run
      mount -o remount,size=9m disk
      lm train --resume disk/run --device reference > /dev/null
      echo "roomy: $?"
      cp -r disk/run run`,
      here.path,
      { mounts: true },
    );
    assertEquals(code, 0, stderr);
    assertStringIncludes(stdout, "full: 1\n");
    assertMatch(stderr, /^error: Cannot write disk\/run.*: No space left/m);
    assertMatch(
      stderr,
      /^hint: .*checkpoint\.safetensors holds the state after step 6$/m,
    );
    assert(!stdout.includes(".partial"), stdout);
    assertStringIncludes(stdout, "roomy: 0\n");
    assertEquals(
      differences(
        await readRunRecord(here.file("run")),
        await readRunRecord(here.file("whole")),
      ),
      [],
    );
  },
});

Deno.test({
  name:
    "lab stops on a disk that is full, and runs the rest when there is room",
  ignore: !canMount, // Linux with user namespaces
  fn: async () => {
    await using here = await Workplace.create();
    const plan = {
      ...{ study: "s", about: "a", data: "text.txt", tokenizer: "chars" },
      base: {
        model: { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8 },
        train: { maxSteps: 2, batchSize: 2 },
      },
      seeds: [1],
      cells: [{ name: "a" }, { name: "b" }],
    };
    await here.write("plan.json", JSON.stringify(plan));
    // Files take 4 kB each: the plan, one outcome, and none for another.
    const { stdout, stderr } = await shell(
      `mkdir disk && mount -t tmpfs -o size=12k none disk || exit 9
      cp plan.json disk
      head -c 4096 /dev/zero > disk/other
      lm lab run disk --device reference; echo "full: $?"
      rm disk/other
      mount -o remount,size=9m disk
      lm lab run disk --device reference; echo "roomy: $?"
      ls disk/trials`,
      here.path,
      { mounts: true },
    );
    assertEquals(stdout, "full: 1\nroomy: 0\na.s1.json\nb.s1.json\n", stderr);
    assertMatch(stderr, /^error: Cannot write disk\/trials.*: No space left/m);
    // What was done before is not run again.
    assertEquals(stderr.match(/^a\.s1: validation loss/gm)?.length, 1, stderr);
  },
});

Deno.test({
  name:
    "What fails on a disk that is full leaves what was there, and nothing else",
  ignore: !canMount, // Linux with user namespaces
  fn: async () => {
    await using here = await Workplace.create();
    const plan = {
      ...{ study: "s", about: "a", data: "text.txt", tokenizer: "chars" },
      base: {
        model: { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8 },
        train: { maxSteps: 2, batchSize: 2 },
      },
      seeds: [1],
      cells: [{ name: "a" }],
    };
    await Deno.mkdir(here.file("study"));
    await here.write("study/plan.json", JSON.stringify(plan));
    for (
      const args of [
        ["train", ...SMALL, "--out", "run"],
        ["lab", "run", "study", "--device", "reference"],
      ]
    ) assertEquals((await here.run(args)).code, 0);
    await Deno.writeTextFile(here.file("study/report.html"), "old");
    const { code, stdout, stderr } = await shell(
      `mkdir disk && mount -t tmpfs -o size=900k none disk || exit 9
      cp -r run study disk
      mkdir disk/mine
      head -c 1000000 /dev/zero > disk/other 2> /dev/null
      find disk | sort > before
      for command in \
        "train ${small} --out disk/a/b/c" \
        "train ${small} --out disk/mine" \
        "train --resume disk/run --steps 13 --device reference" \
        "report disk/run --device reference" \
        "lab merge disk/study" \
        "lab report disk/study" \
        "lab plan ablate --preset tiny --out disk/a/b" \
        "lab museum zero-top-k --data text.txt --steps 2 --device reference --out disk/a/b"
      do lm $command > /dev/null; echo "$?: $command" | cut -c 1-15; done
      find disk | sort | diff before - && echo same
      cmp run/metrics.jsonl disk/run/metrics.jsonl && echo kept
      cat disk/study/report.html`,
      here.path,
      { mounts: true },
    );
    assertEquals(code, 0, stderr);
    const commands =
      "train --preset, train --preset, train --resume, report disk/, lab merge disk, lab report disk, lab plan ablate, lab museum zero";
    assertEquals(
      stdout.trim().split("\n").map((line) => line.trim()),
      [
        ...commands.split(", ").map((command) =>
          `1: ${command}`.slice(0, 15).trim()
        ),
        ...["same", "kept", "old"],
      ],
      stderr,
    );
  },
});

Deno.test({
  name: "A run on a disk that is read-only can be read, but not resumed",
  ignore: !canMount, // Linux with user namespaces
  fn: async () => {
    await using here = await Workplace.create();
    assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
    const { stdout, stderr } = await shell(
      `mount --bind run run && mount -o remount,ro,bind run || exit 9
      lm sample run --device reference --tokens 9 > /dev/null; echo "sample: $?"
      lm eval run --device reference > /dev/null; echo "eval: $?"
      lm info run > /dev/null; echo "info: $?"
      lm train --resume run --steps 24 --device reference; echo "resume: $?"
      lm train ${small} --out run/in; echo "train: $?"`,
      here.path,
      { mounts: true },
    );
    assertEquals(
      stdout,
      "sample: 0\neval: 0\ninfo: 0\nresume: 1\ntrain: 1\n",
      stderr,
    );
    assertMatch(stderr, /^error: Cannot write run\/metrics.*: Read-only file/m);
    assertMatch(stderr, /^error: Cannot write run\/in: Read-only file/m);
  },
});

Deno.test({
  name:
    "train stops at a file that may not grow, and can be resumed when it may",
  ignore: Deno.build.os === "windows", // which has no such limit
  fn: async () => {
    await using here = await Workplace.create();
    const args = `${small} --checkpoint-interval 3 --steps 200`;
    assertEquals(
      (await here.run(["train", ...args.split(" "), "--out", "whole"])).code,
      0,
    );
    // 25,600 bytes: a checkpoint just fits, the lines of so many steps do not.
    const { code, stderr } = await shell(
      `trap "" XFSZ; ulimit -f 50; lm train ${args} --out run`,
      here.path,
    );
    assertEquals(code, 1, stderr);
    assertMatch(stderr, /^error: Cannot write run\/.*: File too large/m);
    assertMatch(stderr, /^hint: .* holds the state after step \d+$/m);
    const again = await here.run(RESUME);
    assertEquals(again.code, 0, again.stderr);
    assertEquals(
      differences(
        await readRunRecord(here.file("run")),
        await readRunRecord(here.file("whole")),
      ),
      [],
    );
  },
});

Deno.test("train whose directory is taken away says so", async () => {
  await using here = await Workplace.create();
  const long = ["--steps", "1000000", "--out", "run", "--json"];
  const child = command(["train", ...SMALL, ...long], { cwd: here.path })
    .spawn();
  const said = new Response(child.stderr).text();
  const reader = child.stdout.getReader();
  const saved = here.file("run/checkpoint.safetensors");
  while (!await Deno.stat(saved).catch(() => undefined)) {
    assert(!(await reader.read()).done);
  }
  await Deno.rename(here.file("run"), here.file("elsewhere"));
  while (!(await reader.read()).done);
  assertEquals((await child.status).code, 1);
  const file = join("run", "checkpoint.safetensors");
  assertStringIncludes(await said, "Cannot write run");
  assertStringIncludes(await said, "there is no such directory");
  assertStringIncludes(await said, `hint: ${file} is gone\n`);
  // What was taken away goes on where it is.
  const rest = await here.run(
    ["train", "--resume", "elsewhere", "--steps", "7", "--device", "reference"],
  );
  assert(!/should not have happened/.test(rest.stderr), rest.stderr);
});

/** Ctrl-C, other signals, and readers that go away. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { cli, command, SMALL, TEXT, Workplace } from "./process.ts";

/** A training that would take minutes. */
const LONG = [
  "train",
  ...SMALL,
  ...["--steps", "1000000", "--out", "run", "--json"],
  ...["--eval-interval", "0", "--sample-interval", "0"],
  ...["--checkpoint-interval", "0"],
];

/** Reads a stream until `word` was in it; gives the rest to nobody. */
async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  word: string,
): Promise<void> {
  const decoder = new TextDecoder();
  for (let text = ""; !text.includes(word);) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The stream ended without ${word}: ${text}`);
    text += decoder.decode(value, { stream: true });
  }
}

const noSignals = Deno.build.os === "windows"; // that can be sent from here

const endings = [
  ["SIGINT", 130, "Ctrl-C again"],
  ["SIGTERM", 143, "a second signal"],
  ["SIGHUP", 129, "a second signal"],
] as const;

for (const [signal, exitCode, again] of endings) {
  Deno.test({
    name: `train saves at ${signal} and says how to resume`,
    ignore: noSignals,
    fn: async () => {
      await using here = await Workplace.create();
      const child = command(LONG, { cwd: here.path }).spawn();
      const said = new Response(child.stderr).text();
      const reader = child.stdout.getReader();
      await readUntil(reader, '"step":3,');
      child.kill(signal);
      while (!(await reader.read()).done);
      assertEquals((await child.status).code, exitCode);
      const { training } = decodeCheckpoint(
        await Deno.readFile(here.file("run/checkpoint.safetensors")),
      );
      const stderr = await said;
      assert(training!.step >= 3);
      assertStringIncludes(
        stderr,
        `stopping, after a checkpoint; ${again} quits now\n`,
      );
      assertStringIncludes(
        stderr,
        `checkpoint.safetensors holds the state after step ${training!.step}\n`,
      );
      assertStringIncludes(stderr, " sample run\n");
      assertStringIncludes(stderr, " train --resume run\n");
    },
  });
}

/** How soon an answer is due, in milliseconds: half a second. */
const ANSWER_MS = 500;

for (const [signal, exitCode, again] of endings) {
  Deno.test({
    name:
      `${signal} is answered, and the second one ends the process, while the main thread is busy`,
    ignore: noSignals,
    fn: async () => {
      const module = new URL(
        "../../lib/cli/terminal/interrupt.ts",
        import.meta.url,
      );
      const program = `import { Interrupt } from ${JSON.stringify(module.href)};
        const interrupt = new Interrupt();
        interrupt.doing = "tidying up";
        await new Promise((resolve) => setTimeout(resolve, 500));
        console.log("ready");
        for (const end = performance.now() + 60_000; performance.now() < end;);`;
      const child = new Deno.Command(Deno.execPath(), {
        args: ["eval", program],
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const [stdout, stderr] = [child.stdout, child.stderr].map((stream) =>
        stream.getReader()
      );
      await readUntil(stdout!, "ready");
      let begun = performance.now();
      child.kill(signal);
      await readUntil(stderr!, `tidying up; ${again} quits now\n`);
      const answered = performance.now() - begun;
      begun = performance.now();
      child.kill(signal);
      assertEquals((await child.status).code, exitCode);
      const ended = performance.now() - begun;
      await Promise.all([stdout!.cancel(), stderr!.cancel()]);
      assert(answered < ANSWER_MS, `answered after ${answered} ms`);
      assert(ended < ANSWER_MS, `ended after ${ended} ms`);
    },
  });
}

Deno.test({
  name: "Work that never waits ends at the first signal when it asks",
  ignore: noSignals,
  fn: async () => {
    const module = new URL(
      "../../lib/cli/terminal/interrupt.ts",
      import.meta.url,
    );
    const program = `import { Interrupt } from ${JSON.stringify(module.href)};
      const interrupt = new Interrupt(() => console.log("first"));
      await new Promise((resolve) => setTimeout(resolve, 500));
      console.log("ready");
      try {
        for (;;) interrupt.signal.throwIfAborted();
      } catch (error) {
        console.log(error.name, error.code, interrupt.signal.aborted);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
      Deno.exit(interrupt.exitCode);`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", program],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    await readUntil(reader, "ready\n");
    child.kill("SIGTERM");
    await readUntil(reader, "first\nInterruptedError 143 true\n");
    assert((await reader.read()).done, "the signal is taken once");
    assertEquals((await child.status).code, 143);
  },
});

/** Commands that would take minutes, and whether the first signal alone ends them soon. */
const long: readonly [line: string, endsAlone: boolean][] = [
  ["sample run --device reference --json --tokens 10000000", true],
  ["eval run --device wasm --data long.txt", true],
  ["eval run --device reference --data long.txt", true],
  [
    "train --init run --data long.txt --eval-tokens all --device reference",
    true,
  ],
  ["lab museum --all --data long.txt --device reference --out museum", true],
  ["lab works --data long.txt", true],
  ["lab works long --device reference", true],
  ["lab minimal --data long.txt --out search", true],
  ["check long --no-machine --device wasm", true],
  ["check --device reference", false],
];

Deno.test({
  name: "Every long command answers the first Ctrl-C and quits at the second",
  ignore: noSignals,
  fn: async (test) => {
    await using here = await Workplace.create();
    await here.write("long.txt", TEXT.repeat(8000));
    const made = await here.run(["train", ...SMALL, "--out", "run"]);
    assertEquals(made.code, 0, made.stderr);
    const other = "--data long.txt --eval-tokens 100 --out long".split(" ");
    const trained = await here.run(["train", ...SMALL, ...other]);
    assertEquals(trained.code, 0, trained.stderr);
    for (const [line, endsAlone] of long) {
      await test.step(line, async () => {
        const child = command(line.split(" "), { cwd: here.path }).spawn();
        const output = new Response(child.stdout).text();
        const reader = child.stderr.getReader();
        await new Promise((resolve) => setTimeout(resolve, 2000));
        let begun = performance.now();
        child.kill("SIGINT");
        await readUntil(reader, "Ctrl-C again quits now\n");
        const answered = performance.now() - begun;
        begun = performance.now();
        if (!endsAlone) child.kill("SIGINT");
        const [{ code }] = await Promise.all([child.status, output]);
        const ended = performance.now() - begun;
        await reader.cancel();
        assertEquals(code, 130);
        assert(answered < ANSWER_MS, `answered after ${answered} ms`);
        assert(
          ended < (endsAlone ? 5000 : ANSWER_MS),
          `ended after ${ended} ms`,
        );
      });
    }
  },
});

Deno.test({
  name: "A step of many seconds is left at once, and the state before it saved",
  ignore: noSignals,
  fn: async () => {
    await using here = await Workplace.create();
    await here.write("text.txt", TEXT.repeat(4));
    const flags = "--preset tiny --data text.txt --device wasm --threads 1 " +
      "--n-layer 6 --n-head 4 --n-embd 256 --block-size 256 --batch-size 32 " +
      "--steps 5 --out run";
    const child = command(["train", ...flags.split(" ")], { cwd: here.path })
      .spawn();
    const reader = child.stderr.getReader();
    await readUntil(reader, "-> run");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const begun = performance.now();
    child.kill("SIGINT");
    await readUntil(reader, "Ctrl-C again quits now\n");
    const answered = performance.now() - begun;
    const rest = async () => {
      const decoder = new TextDecoder();
      for (let text = "";;) {
        const { value, done } = await reader.read();
        if (done) return text;
        text += decoder.decode(value, { stream: true });
      }
    };
    const [{ code }, said] = await Promise.all([
      child.status,
      rest(),
      child.stdout.cancel(),
    ]);
    const ended = performance.now() - begun;
    assertEquals(code, 130, said);
    assert(answered < ANSWER_MS, `answered after ${answered} ms`);
    // A part of the step, and a checkpoint of 57 MB.
    assert(ended < 3000, `ended after ${ended} ms`);
    assertStringIncludes(said, "0 of 5 steps");
    const { training } = decodeCheckpoint(
      await Deno.readFile(here.file("run/checkpoint.safetensors")),
    );
    assertEquals(training!.step, 0);
  },
});

Deno.test("train saves and ends quietly when its output is closed", async () => {
  await using here = await Workplace.create();
  const child = command(LONG, { cwd: here.path }).spawn();
  const said = new Response(child.stderr).text();
  const reader = child.stdout.getReader();
  await readUntil(reader, '"step":3,');
  await reader.cancel();
  assertEquals((await child.status).code, 0);
  assert(!(await said).includes("error"));
  assert((await Deno.stat(here.file("run/checkpoint.safetensors"))).isFile);
});

Deno.test("sample ends quietly when its output is closed", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  const args = "sample run --device reference --tokens 1000000".split(" ");
  const child = command(args, { cwd: here.path }).spawn();
  const said = new Response(child.stderr).text();
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  assertEquals((await child.status).code, 0);
  assert(!(await said).includes("error"));
});

Deno.test({
  name: "sample says that its output cannot be written",
  ignore: Deno.build.os !== "linux", // which has a disk that is always full
  fn: async () => {
    await using here = await Workplace.create();
    await here.run(["train", ...SMALL, "--out", "run"]);
    const { code, stderr } = await new Deno.Command("sh", {
      args: [
        "-c",
        '"$0" run -A "$1" sample run --device reference > /dev/full',
        Deno.execPath(),
        cli,
      ],
      cwd: here.path,
    }).output();
    assertEquals(code, 1);
    const said = new TextDecoder().decode(stderr);
    assertMatch(said, /^error: Cannot write to standard output: No space/m);
    assert(!/^ +at /m.test(said), said); // no stack
  },
});

/** Files of a run that are long, broken, or cannot be read. */

import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { CommandError } from "../../lib/cli/command/errors.ts";
import {
  concat,
  exists,
  MadeDirectories,
  readLineGroups,
  replaceFile,
  Replacement,
} from "../../lib/cli/run/files.ts";
import { RunDirectory } from "../../lib/cli/run/directory.ts";
import { SMALL, Workplace } from "./process.ts";

async function linesOf(
  file: string,
): Promise<(string | undefined)[]> {
  return (await Array.fromAsync(readLineGroups(file))).flat();
}

Deno.test("readLineGroups yields what split does, across the edges of pieces", async () => {
  await using here = await Workplace.create();
  const lines = Array.from({ length: 300 }, (_, i) => "é".repeat(i * 7 % 1000));
  lines[5] = "long".repeat(50_000);
  const file = here.file("lines");
  await Deno.writeTextFile(file, lines.map((line) => `${line}\n`).join(""));
  assertEquals(await linesOf(file), lines);
  await Deno.writeTextFile(file, "torn", { append: true });
  assertEquals(await linesOf(file), [...lines, "torn"]);
});

Deno.test("readLineGroups yields undefined for a line that is not UTF-8, and nothing for no file", async () => {
  await using here = await Workplace.create();
  const file = here.file("lines");
  await Deno.writeFile(file, Uint8Array.of(97, 10, 0xff, 10, 98, 10));
  assertEquals(await linesOf(file), ["a", undefined, "b"]);
  assertEquals(await linesOf(here.file("none")), []);
});

Deno.test("A file that cannot be read is not treated as missing", async () => {
  await using here = await Workplace.create();
  await Deno.writeTextFile(here.file("file"), "");
  assertEquals(await exists(here.file("none")), false);
  await assertRejects(() => exists(here.file("file/below")), CommandError);
  await Deno.mkdir(here.file("folder"));
  await assertRejects(
    () => linesOf(here.file("folder")),
    CommandError,
    "Cannot read",
  );
});

Deno.test("A replacement that fails leaves the old files and no others", async () => {
  await using here = await Workplace.create();
  const [kept, other] = [here.file("kept"), here.file("other")];
  await Deno.writeTextFile(kept, "old");
  await assertRejects(
    async () => {
      using first = await Replacement.begin(kept);
      using second = await Replacement.begin(other);
      first.write(Uint8Array.of(1));
      second.write(Uint8Array.of(1));
      await Deno.mkdir(other); // nothing can be renamed to it
      await Replacement.commit([second, first]);
    },
    CommandError,
    `Cannot write ${other}: `,
  );
  assertEquals(await Deno.readTextFile(kept), "old");
  assertEquals(await exists(`${kept}.partial`), false);
  assertEquals(await exists(`${other}.partial`), false);
  await assertRejects(
    () => replaceFile(here.file("no/such"), Uint8Array.of(1)),
    CommandError,
    "there is no such directory",
  );
  // Pieces of any size come out in order.
  const pieces = [3, 70_000, 1, 65_536, 65_535, 2].map((length, index) =>
    new Uint8Array(length).fill(index)
  );
  using file = await Replacement.begin(kept);
  for (const piece of pieces) file.write(piece);
  await Replacement.commit([file]);
  assertEquals(await Deno.readFile(kept), concat(pieces));
});

/** Names, times and sizes of the files in a directory. */
async function statesIn(path: string): Promise<unknown[]> {
  const entries = await Array.fromAsync(Deno.readDir(path));
  return await Promise.all(
    entries.toSorted((a, b) => a.name < b.name ? -1 : 1)
      .map(async ({ name }) => {
        const { mtime, size } = await Deno.stat(`${path}/${name}`);
        return [name, mtime?.getTime(), size];
      }),
  );
}

Deno.test("train --resume and report refuse events that cannot be read, and change no file", async () => {
  await using here = await Workplace.create();
  const made = await here.run(["train", ...SMALL, "--out", "run"]);
  assertEquals(made.code, 0, made.stderr);
  const metrics = here.file("run/metrics.jsonl");
  await Deno.rename(metrics, here.file("aside"));
  await Deno.mkdir(metrics); // reading it fails, for every user
  const states = () => statesIn(here.file("run"));
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

Deno.test("A damaged or unreadable config.json is refused where it is needed, and no file is changed", async () => {
  await using here = await Workplace.create();
  assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
  const config = here.file("run/config.json");
  const whole = await Deno.readTextFile(config);
  const resume = "train --resume run --steps 20 --device reference".split(" ");
  const byData = [...resume, "--data", "text.txt"];
  const damages: [reason: string, damage: () => Promise<void>][] = [
    ["it is not a JSON object", () => here.write("run/config.json", "{")],
    ["it is not a JSON object", () => here.write("run/config.json", "[]")],
    ["it is a directory", async () => {
      await Deno.remove(config);
      await Deno.mkdir(config);
    }],
  ];
  for (const [reason, damage] of damages) {
    await damage();
    const before = await statesIn(here.file("run"));
    for (const args of [resume, byData, ["report", "run"], ["info", "run"]]) {
      const { code, stderr } = await here.run(args);
      assertEquals(code, 1, `${args}: ${stderr}`);
      assertStringIncludes(stderr, `Cannot read run/config.json: ${reason}`);
      assertEquals(await statesIn(here.file("run")), before);
    }
  }
  await Deno.remove(config);
  // Without one nothing is lost that --data does not bring back.
  assertEquals((await here.run(byData)).code, 0);
  await Deno.writeTextFile(config, whole);
});

Deno.test("train --resume says how many damaged lines it leaves out, and keeps the rest", async () => {
  await using here = await Workplace.create();
  assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
  const metrics = here.file("run/metrics.jsonl");
  const lines = (await Deno.readTextFile(metrics)).split("\n");
  const events = lines.filter((line) => /"event":"step"/.test(line)).length;
  lines.splice(3, 0, "nonsense", '{"event":"step","step":', "", '{"a":1}');
  await Deno.writeTextFile(metrics, lines.join("\n"));
  const resume = "train --resume run --steps 13 --device reference".split(" ");
  const first = await here.run(resume);
  assertEquals(first.code, 0, first.stderr);
  assertStringIncludes(
    first.stderr,
    "warning: left out 3 lines of run/metrics.jsonl that held no event\n",
  );
  const kept = await Deno.readTextFile(metrics);
  assertEquals(kept.match(/"event":"step"/g)?.length, events + 1);
  resume[4] = "14";
  const second = await here.run(resume);
  assertEquals(second.code, 0, second.stderr);
  assertEquals(second.stderr.includes("warning"), false, second.stderr);
});

Deno.test("The newest run is found beside an entry that cannot be read, with a warning", async () => {
  await using here = await Workplace.create();
  assertEquals(
    (await here.run(["train", ...SMALL, "--out", "runs/good"])).code,
    0,
  );
  await Deno.symlink("loop", here.file("runs/loop"));
  await Deno.mkdir(here.file("runs/empty"));
  for (
    const args of [
      ["sample", "--tokens", "3", "--device", "reference"],
      ["eval", "--device", "reference"],
    ]
  ) {
    const { code, stderr } = await here.run(args);
    assertEquals(code, 0, stderr);
    assertStringIncludes(
      stderr,
      "warning: Cannot read runs/loop/checkpoint.safetensors: ",
    );
  }
});

Deno.test("Directories that were made are removed while they are empty; others stay", async () => {
  await using here = await Workplace.create();
  await Deno.mkdir(here.file("mine"));
  const names = async () =>
    (await Array.fromAsync(Deno.readDir(here.path))).map(({ name }) => name)
      .sort();
  const before = await names();
  {
    using _made = await MadeDirectories.make(here.file("a/b/c"));
    using _mine = await MadeDirectories.make(here.file("mine"));
    assertEquals(await exists(here.file("a/b/c")), true);
  }
  assertEquals(await names(), before);
  {
    using _made = await MadeDirectories.make(here.file("a/b/c"));
    await here.write("a/kept", "");
  }
  assertEquals(await exists(here.file("a/kept")), true);
  assertEquals(await exists(here.file("a/b")), false);
  await Deno.symlink("nowhere", here.file("dangling"));
  for (
    const path of [
      "text.txt",
      "text.txt/b",
      "text.txt/b/c",
      "dangling",
      "dangling/b",
    ]
  ) {
    await assertRejects(
      () => MadeDirectories.make(here.file(path)),
      CommandError,
      `Cannot write ${here.file(path)}: `,
    );
  }
});

Deno.test("A kept checkpoint is a copy where there are no links, and never half of one", async () => {
  await using here = await Workplace.create();
  const { link } = Deno;
  Deno.link = () => Promise.reject(new Deno.errors.PermissionDenied("EPERM"));
  try {
    using run = await RunDirectory.open(here.file("run"), {
      config: {},
      keep: 1,
    });
    await run.saveCheckpoint(Uint8Array.of(1), 1);
    await run.saveCheckpoint(Uint8Array.of(2, 2), 2);
  } finally {
    Deno.link = link;
  }
  const kept = here.file("run/checkpoint-000002.safetensors");
  assertEquals(await Deno.readFile(kept), Uint8Array.of(2, 2));
  assertEquals(
    await exists(here.file("run/checkpoint-000001.safetensors")),
    false,
  );
  assertEquals(await exists(`${kept}.partial`), false);
});

Deno.test("A flipped byte in a checkpoint is refused by every command that reads it", async () => {
  await using here = await Workplace.create();
  assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
  const commands: Record<string, string[]> = {
    "checkpoint.safetensors": [
      "info run",
      "info run/checkpoint.safetensors",
      "sample run --device reference",
      "eval run --device reference",
      `train --init run --data text.txt --preset tiny --steps 2 --device reference --out new`,
      "train --resume run --steps 20 --device reference",
      "check run --no-machine --device reference",
      "lab works run --device reference",
    ],
    "best.safetensors": [
      "info run/best.safetensors",
      "sample run --best --device reference",
      "eval run --best --device reference",
      `train --init run/best.safetensors --data text.txt --preset tiny --steps 2 --device reference --out new`,
      "check run --no-machine --device reference",
    ],
  };
  for (const [name, lines] of Object.entries(commands)) {
    const path = here.file("run", name);
    const whole = await Deno.readFile(path);
    const flipped = whole.slice();
    flipped[flipped.length - 100]! ^= 1;
    await Deno.writeFile(path, flipped);
    const before = await statesIn(here.file("run"));
    for (const line of lines) {
      const { code, stdout, stderr } = await here.run(line.split(" "));
      assertEquals(code, 1, `${line}: ${stderr}`);
      assertMatch(
        (stdout + stderr).replaceAll(/\s+/g, " "),
        new RegExp(`${name}.*: it is damaged: the digest of its content is`),
        line,
      );
      if (!line.startsWith("check")) {
        assertStringIncludes(
          stderr,
          "hint: the run's other checkpoints may be",
        );
      }
      assertEquals(await statesIn(here.file("run")), before, line);
      assertEquals(await exists(here.file("new")), false);
    }
    if (name === "best.safetensors") {
      const { code, stdout, stderr } = await here.run(
        "report run --device reference".split(" "),
      );
      assertEquals([code, stdout], [0, "run/report.html\n"], stderr);
      assertMatch(stderr, /^warning: Cannot read run.best.* it is damaged/);
    }
    await Deno.writeFile(path, whole);
  }
});

Deno.test("Outcomes and reports that cannot be read are refused by name", async () => {
  await using here = await Workplace.create();
  await Deno.mkdir(here.file("study/trials"), { recursive: true });
  await here.write(
    "study/plan.json",
    JSON.stringify({
      ...{ study: "s", about: "a", data: "text.txt", tokenizer: "chars" },
      base: {
        model: { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8 },
        train: { maxSteps: 2, batchSize: 2 },
      },
      seeds: [1],
      cells: [{ name: "a" }],
    }),
  );
  const refused = async (name: string) => {
    for (
      const line of ["lab run study --device reference", "lab merge study"]
    ) {
      const { code, stderr } = await here.run(line.split(" "));
      assertEquals(code, 1, stderr);
      assertStringIncludes(stderr, `Cannot read study/${name}: `);
    }
  };
  for (const content of ["null", "{", "3", "[]", '{"id":"a.s1"}']) {
    await here.write("study/trials/a.s1.json", content);
    await refused("trials/a.s1.json");
  }
  await Deno.remove(here.file("study/trials/a.s1.json"));
  await Deno.mkdir(here.file("study/trials/a.s1.json"));
  await refused("trials/a.s1.json");
  await Deno.remove(here.file("study/trials"), { recursive: true });
  for (const content of ["null\n", "\xff\n", '{"id":']) {
    await here.write("study/trials.jsonl", content);
    await refused("trials.jsonl");
  }
  await Deno.remove(here.file("study/trials.jsonl"));
  await here.write("study/trials", "a file");
  await refused("trials");
});

Deno.test({
  name:
    "A file that fails while it is read is refused by name, whatever it is read for",
  ignore: Deno.build.os !== "linux", // where /proc/self/mem begins with a page that nobody can read
  fn: async () => {
    await using here = await Workplace.create();
    assertEquals((await here.run(["train", ...SMALL, "--out", "run"])).code, 0);
    const failing = "/proc/self/mem";
    const reads: [line: string, file: string][] = [
      [`train --preset tiny --data ${failing} --out new`, failing],
      [`eval run --data ${failing} --device reference`, failing],
      [`lab works --data ${failing}`, failing],
      [`sample run --prompt-file ${failing} --device reference`, failing],
      [`train --init ${failing} --out new`, failing],
      [`info ${failing}`, failing],
    ];
    for (
      const name of ["config.json", "metrics.jsonl", "checkpoint.safetensors"]
    ) {
      const line = "train --resume run --steps 13 --device reference";
      reads.push([line, `run/${name}`], ["info run", `run/${name}`]);
    }
    for (const [line, file] of reads) {
      const isOwn = file !== failing;
      if (isOwn) {
        await Deno.rename(here.file(file), here.file("aside"));
        await Deno.symlink(failing, here.file(file));
      }
      const { code, stderr } = await here.run(line.split(" "));
      assertEquals(code, 1, stderr);
      assertStringIncludes(stderr, `error: Cannot read ${file}: Input/output`);
      assertEquals(await exists(here.file("new")), false);
      if (isOwn) {
        await Deno.remove(here.file(file));
        await Deno.rename(here.file("aside"), here.file(file));
      }
    }
  },
});

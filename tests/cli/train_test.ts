import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { SMALL, Workplace } from "./process.ts";

type Event = Record<string, unknown> & { readonly event: string };

function events(jsonLines: string): Event[] {
  return jsonLines.trimEnd().split("\n").map((line) => JSON.parse(line));
}

function names(path: string): string[] {
  return Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
}

Deno.test("train writes a run: events, checkpoints, samples, its configuration", async () => {
  await using here = await Workplace.create();
  const args = ["train", ...SMALL, "--out", "run", "--json"];
  const { code, stdout, stderr } = await here.run(args);
  assertEquals(code, 0, stderr);
  assertEquals(names(here.file("run")), [
    "best.safetensors",
    "checkpoint.safetensors",
    "config.json",
    "events.out.tfevents.lm",
    "metrics.jsonl",
    "samples.txt",
  ]);
  assertEquals(await Deno.readTextFile(here.file("run/metrics.jsonl")), stdout);

  const all = events(stdout);
  assertEquals(all.map(({ event }) => event), [
    "start",
    ...Array(6).fill("step"),
    ...["checkpoint", "eval", "sample"],
    ...["step", "update"],
    ...Array(5).fill("step"),
    ...["checkpoint", "eval", "sample"],
    "end",
  ]);
  for (
    const [index, event] of all.filter((e) => e.event === "step").entries()
  ) {
    assertEquals(event.step, index + 1);
    for (
      const field of ["loss", "gradNorm", "learningRate", "tokensPerSecond"]
    ) {
      assertEquals(typeof event[field], "number", field);
    }
  }
  const evaluated = all.findLast(({ event }) => event === "eval")!;
  assertEquals(evaluated.step, 12);
  assertEquals(typeof evaluated.trainLoss, "number");
  assertEquals(
    evaluated.bitsPerChar,
    Number(evaluated.valLoss) / Math.LN2, // a character is a token here
  );
  const { reason } = all.at(-1)!;
  assertEquals(reason, "done");

  const config = JSON.parse(
    await Deno.readTextFile(here.file("run/config.json")),
  );
  assertEquals(config.command, args);
  assertEquals(config.model.nLayer, 1);
  assertEquals(config.train.maxSteps, 12);
  assertEquals(config.tokenizer, { kind: "chars", vocabSize: 15 });
  assertEquals(
    await Deno.realPath(config.data.file),
    await Deno.realPath(here.file("text.txt")),
  );
  assertMatch(config.data.sha256, /^[0-9a-f]{64}$/);
  assertEquals(config.versions.deno, Deno.version.deno);

  const checkpoint = decodeCheckpoint(
    await Deno.readFile(here.file("run/checkpoint.safetensors")),
  );
  assertEquals(checkpoint.training?.step, 12);
  assertEquals(checkpoint.config, config.model);
  assertStringIncludes(
    await Deno.readTextFile(here.file("run/samples.txt")),
    "--- step 12\n",
  );
});

Deno.test("--seed decides the weights that train begins with, and its batches", async () => {
  await using here = await Workplace.create();
  const trained = async (name: string, ...flags: string[]) => {
    const still = "--steps 1 --learning-rate 0 --weight-decay 0".split(" ");
    const { code, stdout, stderr } = await here.run(
      ["train", ...flags, "--out", name, "--json", ...still],
    );
    assertEquals(code, 0, stderr);
    const { loss } = events(stdout).find(({ event }) => event === "step")!;
    const { tensors } = decodeCheckpoint(
      await Deno.readFile(here.file(name, "checkpoint.safetensors")),
    );
    return { loss, weights: tensors.get("wte.weight")!.data };
  };
  const first = await trained("1", ...SMALL, "--seed", "1");
  assertEquals(await trained("same", ...SMALL, "--seed", "1"), first);
  const other = await trained("2", ...SMALL, "--seed", "2");
  assertNotEquals(other.weights, first.weights);
  // The same weights on other batches.
  const on = "--preset tiny --data text.txt --device reference".split(" ");
  const [a, b, c] = [
    await trained("a", "--init", "1", ...on, "--seed", "1"),
    await trained("b", "--init", "1", ...on, "--seed", "1"),
    await trained("c", "--init", "1", ...on, "--seed", "2"),
  ];
  assertEquals([a.weights, b.weights, c.weights], Array(3).fill(first.weights));
  assertEquals(b.loss, a.loss);
  assertNotEquals(c.loss, a.loss);
});

Deno.test("train shows samples on standard output, all else on standard error", async () => {
  await using here = await Workplace.create();
  const { code, stdout, stderr } = await here.run(["train", ...SMALL]);
  assertEquals(code, 0, stderr);
  assertMatch(
    stdout,
    /^--- a sample after step 6 ---\n[^]*\n\n--- a sample after step 12 ---\n[^]*\n\n$/,
  );
  const [device, data, ...rest] = stderr.trimEnd().split("\n");
  assertMatch(device!, /^[\d,]+ parameters on reference: /);
  assertMatch(
    data!,
    /text\.txt: 2,400 tokens \(chars\) -> runs.tiny-\d{8}-\d{6}$/,
  );
  assertMatch(rest.join("\n"), /^step 1\/12, loss \d\.\d+, gradient norm /m);
  assertMatch(rest.join("\n"), /^step 12\/12: train loss [^]*bits\/char$/m);
  assertMatch(stderr, /^sample it: .* sample runs.tiny-/m);
  // deno-lint-ignore no-control-regex -- nothing is redrawn in a pipe
  assert(!/[\r\x1b]/.test(stderr));
});

Deno.test("train --resume continues as if it had never stopped, bit for bit", async () => {
  await using here = await Workplace.create();
  // A constant rate: the end of a cosine depends on the number of steps.
  const args = ["train", ...SMALL, "--schedule", "constant"];
  const whole = await here.run([...args, "--out", "whole"]);
  assertEquals(whole.code, 0, whole.stderr);
  const part = await here.run([...args, "--out", "part", "--steps", "6"]);
  assertEquals(part.code, 0, part.stderr);
  const rest = await here.run(
    "train --resume part --steps 12 --device reference --json".split(" "),
  );
  assertEquals(rest.code, 0, rest.stderr);
  assertEquals(events(rest.stdout)[0]!.step, 6);
  for (const file of ["checkpoint.safetensors", "best.safetensors"]) {
    assertEquals(
      await Deno.readFile(here.file("part", file)),
      await Deno.readFile(here.file("whole", file)),
      file,
    );
  }
  const config = JSON.parse(
    await Deno.readTextFile(here.file("part/config.json")),
  );
  assertStringIncludes(config.command.join(" "), "--steps 6");
  assertEquals(config.train.maxSteps, 12);
  assertEquals(config.resumed.map(({ step }: { step: number }) => step), [6]);
  const all = events(await Deno.readTextFile(here.file("part/metrics.jsonl")));
  assertEquals(all.filter(({ event }) => event === "step").length, 12);
  const updates = all.filter(({ event }) => event === "update");
  assertEquals(updates.map(({ step }) => step), [7]);
});

Deno.test("train --resume refuses what would be another run", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  await here.write("other.txt", "another text ".repeat(20));
  const cases: [args: string, code: number, ...words: string[]][] = [
    ["--resume run", 1, "it has done 12 of 12 steps", "--steps 24"],
    ["--resume run --n-layer 2", 2, "--n-layer with --resume"],
    ["--resume run --seed 2", 2, "--seed with --resume"],
    ["--resume run --steps 24 --data other.txt", 1, "another text (sha256"],
    ["--resume nowhere", 1, "nowhere: there is no such file"],
    ["--resume run/best.safetensors", 1, "not the directory of a run"],
  ];
  for (const [args, code, ...words] of cases) {
    const outcome = await here.run(["train", ...args.split(" ")]);
    assertEquals(outcome.code, code, args);
    for (const word of words) assertStringIncludes(outcome.stderr, word);
  }
});

Deno.test("train leaves a directory alone that holds something", async () => {
  await using here = await Workplace.create();
  await Deno.mkdir(here.file("run"));
  await here.write("run/notes", "mine");
  const args = ["train", ...SMALL, "--out", "run"];
  const { code, stderr } = await here.run(args);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "run: it exists and holds notes\nhint: --out");
  assertEquals(names(here.file("run")), ["notes"]);
});

Deno.test("train lets one of two runs have a directory that both ask for", async () => {
  await using here = await Workplace.create();
  const run = (seed: string) =>
    here.run(["train", ...SMALL, "--out", "run", "--seed", seed, "--json"]);
  const outcomes = await Promise.all([run("1"), run("2")]);
  const [winner, loser] = outcomes.toSorted((a, b) => a.code - b.code);
  assertEquals([winner!.code, loser!.code], [0, 1], loser!.stderr);
  assertStringIncludes(loser!.stderr, "Cannot train into run: it exists");
  const metrics = await Deno.readTextFile(here.file("run/metrics.jsonl"));
  assertEquals(metrics, winner!.stdout);
});

Deno.test("train --resume accepts a line of events that was cut short", async () => {
  await using here = await Workplace.create();
  const args = ["train", ...SMALL, "--out", "run", "--steps", "6"];
  assertEquals((await here.run(args)).code, 0);
  const cut = '{"event":"eval","step":{"event":"start"}\n';
  await Deno.writeTextFile(here.file("run/metrics.jsonl"), cut, {
    append: true,
  });
  const { code, stderr } = await here.run(
    "train --resume run --steps 12 --device reference".split(" "),
  );
  assertEquals(code, 0, stderr);
});

Deno.test("train takes a directory that is empty", async () => {
  await using here = await Workplace.create();
  await Deno.mkdir(here.file("run"));
  const { code, stderr } = await here.run(["train", ...SMALL, "--out", "run"]);
  assertEquals(code, 0, stderr);
});

Deno.test("train says before it begins that it cannot write", async () => {
  await using here = await Workplace.create();
  for (const out of ["text.txt", "text.txt/run"]) {
    const { code, stdout, stderr } = await here.run(
      ["train", ...SMALL, "--out", out],
    );
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /^error: Cannot write text\.txt/m);
  }
});

Deno.test("train that cannot save stops, says so, and keeps what was saved", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  const saved = await Deno.readFile(here.file("run/checkpoint.safetensors"));
  // A directory where the new checkpoint would be written beside the old one.
  await Deno.mkdir(here.file("run/checkpoint.safetensors.partial/in"), {
    recursive: true,
  });
  const { code, stderr } = await here.run(
    "train --resume run --steps 24 --device reference".split(" "),
  );
  assertEquals(code, 1);
  assertMatch(stderr, /^error: Cannot write run.checkpoint\.safetensors: /m);
  assertMatch(stderr, /^hint: .* holds the state after step 12$/m);
  assertEquals(
    await Deno.readFile(here.file("run/checkpoint.safetensors")),
    saved,
  );
});

Deno.test("train stops at a loss that is not a number, and names the last good state", async () => {
  await using here = await Workplace.create();
  const { code, stdout, stderr } = await here.run(
    ["train", ...SMALL, "--learning-rate", "1e300", "--out", "run", "--json"],
  );
  assertEquals(code, 1);
  assertMatch(stderr, /^error: Cannot go on training: at step \d+ /m);
  assertMatch(stderr, /^hint: no checkpoint was written yet; a lower --lear/m);
  assertEquals(events(stdout).at(-1)!.reason, "failed");
});

// A backend that this system does not have: no driver is ever looked for.
const withoutAdapter = {
  env: {
    DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12",
  },
};

Deno.test("train says what to do where there is no adapter, and makes nothing", async () => {
  await using here = await Workplace.create();
  const args = ["train", ...SMALL, "--device", "webgpu"];
  const { code, stdout, stderr } = await here.run(args, withoutAdapter);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^error: Cannot open WebGPU: there is no adapter$/m);
  assertMatch(stderr, /^hint: .*--device wasm/m);
  assertEquals(names(here.path), ["text.txt"]);
});

Deno.test("train takes the CPU where there is no adapter, with the number of threads given", async () => {
  await using here = await Workplace.create();
  const args = ["train", ...SMALL, "--device", "auto"];
  const plain = await here.run([...args, "--out", "plain"], withoutAdapter);
  assertEquals(plain.code, 0, plain.stderr);
  assertMatch(plain.stderr, /^[\d,]+ parameters on wasm: CPU, \d+ thread/m);
  const { code, stderr } = await here.run(
    [...args, "--out", "alone", "--threads", "1"],
    withoutAdapter,
  );
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /^[\d,]+ parameters on wasm: CPU, 1 thread,/m);
});

Deno.test("train in float16 is refused without a GPU, loudly and before anything is made", async () => {
  await using here = await Workplace.create();
  const cases = [
    ["wasm", /^error: Cannot compile train: CPU, .* has no float16$/m],
    [
      "auto",
      /^error: Cannot train with precision f16: the machine has no hardware GPU$/m,
    ],
  ] as const;
  for (const [device, words] of cases) {
    const { code, stdout, stderr } = await here.run(
      ["train", ...SMALL, "--precision", "f16", "--device", device],
      withoutAdapter,
    );
    assertEquals([code, stdout], [1, ""], stderr);
    assertMatch(stderr, words);
    assertMatch(stderr, /^hint: .*precision f32/m);
  }
  assertEquals(names(here.path), ["text.txt"]);
  const { code, stderr } = await here.run(
    ["train", ...SMALL, "--precision", "f16", "--out", "run"],
  );
  assertEquals(code, 0, stderr);
  const path = here.file("run", "checkpoint.safetensors");
  const { training } = decodeCheckpoint(await Deno.readFile(path));
  assertEquals(training?.config.precision, "f16");
});

Deno.test("train refuses contradictions before anything is made", async () => {
  await using here = await Workplace.create();
  const cases = [
    [
      "--n-embd 100 --n-head 8",
      "--n-embd (100) is not a multiple of --n-head (8)",
    ],
    [
      "--n-head 4 --n-kv-head 3",
      "--n-head (4) is not a multiple of --n-kv-head (3)",
    ],
    ["--steps 0", '--steps 0: "0" is not an integer from 1'],
    ["--dropout 1", '--dropout 1: "1" is not a number from 0 to below 1'],
    ["--logit-softcap 0", '"0" is not a number above 0 or off'],
    ["--seed -1", '--seed -1: "-1" is not an integer from 0'],
    ["--vocab-size 7 --data text.txt", "the tokenizer chars has 15 tokens"],
  ] as const;
  for (const [args, words] of cases) {
    const { code, stderr } = await here.run(["train", ...args.split(" ")]);
    assertEquals(code, 2, args);
    assertStringIncludes(stderr, words);
  }
  assertEquals(names(here.path), ["text.txt"]);
});

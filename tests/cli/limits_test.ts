/** Runs that end before their last step, begin with other weights, or keep more than the last state. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { SMALL, TEXT, Workplace } from "./process.ts";

/** SMALL with other flags; the last of a flag counts. */
const small = (flags: string) => ["train", ...SMALL, ...flags.split(" ")];

async function told(here: Workplace, run: string) {
  const text = await Deno.readTextFile(here.file(run, "metrics.jsonl"));
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

async function weights(here: Workplace, path: string) {
  return decodeCheckpoint(await Deno.readFile(here.file(path))).tensors;
}

function names(path: string): Promise<string[]> {
  return Array.fromAsync(Deno.readDir(path), ({ name }) => name);
}

Deno.test("--max-time stops a run, which is evaluated and can be resumed", async () => {
  await using here = await Workplace.create();
  const endless = "--steps 1000000 --eval-interval 0 --sample-interval 0";
  const { code, stderr } = await here.run(
    small(`${endless} --checkpoint-interval 0 --max-time 2s --out run`),
  );
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "stopped: --max-time 2s reached");
  assertStringIncludes(stderr, "train --resume run");
  const events = await told(here, "run");
  assertEquals(events.slice(-4).map(({ event }) => event), [
    ...["checkpoint", "eval", "sample", "end"],
  ]);
  const { reason, step, why, seconds } = events.at(-1);
  assertEquals([reason, why], ["stopped", "--max-time 2s reached"]);
  // On a machine with much else to do, one step may take it all.
  assert(step >= 1 && seconds <= 5, `${step} steps in ${seconds} s`);
  const more = await here.run(
    ["train", "--resume", "run", "--max-time", "2", "--device", "reference"],
  );
  assertEquals(more.code, 0, more.stderr);
  assert((await told(here, "run")).at(-1).step > step);
});

Deno.test("--patience stops a run whose loss no longer improves, also if it was interrupted meanwhile", async () => {
  await using here = await Workplace.create();
  // Nothing is learnt, so that the first evaluation stays the best.
  const idle = "--learning-rate 0 --schedule constant --eval-interval 2 " +
    "--sample-interval 0 --checkpoint-interval 2 --steps 40";
  const { code, stderr } = await here.run(
    small(`${idle} --patience 3 --out run`),
  );
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "no evaluation of the last 3 had a lower loss");
  assertEquals((await told(here, "run")).at(-1).step, 8);

  // Two evaluations are kept; the third, at the last step, is made again.
  await here.run(small(`${idle} --steps 6 --out other`));
  const flags = ["--steps", "40", "--patience", "3", "--device", "reference"];
  await here.run(["train", "--resume", "other", ...flags]);
  assertEquals((await told(here, "other")).at(-1).step, 8);
});

Deno.test("--target-loss stops a run at the first evaluation that reaches it, with the state of a run of that many steps", async () => {
  await using here = await Workplace.create();
  const flags = "--schedule constant --eval-interval 2 --sample-interval 0 " +
    "--checkpoint-interval 0";
  await here.run(small(`${flags} --steps 16 --out whole`));
  const losses = (await told(here, "whole"))
    .filter(({ event }) => event === "eval")
    .map(({ step, valLoss }) => [step, valLoss] as const);
  const [[middle, loss], [later, lower]] = [losses[3]!, losses[6]!];
  // The loss falls from one evaluation to the next, so the target of one stops the run there.
  assertEquals([middle, later], [8, 14]);
  for (let i = 1; i < losses.length; i++) {
    assert(losses[i]![1] < losses[i - 1]![1], `${losses}`);
  }

  const first = await here.run(
    small(`${flags} --steps 16 --target-loss ${loss} --out run`),
  );
  assertEquals(first.code, 0, first.stderr);
  const why = `--target-loss ${loss} reached (${
    loss.toFixed(4)
  } at step ${middle})`;
  assertStringIncludes(first.stderr, `stopped: ${why}`);
  const end = (await told(here, "run")).at(-1);
  assertEquals([end.step, end.reason, end.why], [middle, "stopped", why]);
  await here.run(small(`${flags} --steps ${middle} --out short`));
  const state = "checkpoint.safetensors";
  assertEquals(
    await weights(here, `run/${state}`),
    await weights(here, `short/${state}`),
  );

  const [, advice] = /resume it: +.*cli\.ts (train .*)/.exec(first.stderr)!;
  assertEquals(advice, "train --resume run --target-loss off");
  const resume = async (target: string) => {
    const more = await here.run([
      ..."train --resume run --device reference".split(" "),
      ...target.split(" "),
    ]);
    assertEquals(more.code, 0, more.stderr);
    return (await told(here, "run")).at(-1);
  };
  // Resumed with the same target, it stops where it is.
  assertEquals((await resume("--keep 0")).step, middle);
  const { step, reason } = await resume(`--target-loss ${lower}`);
  assertEquals([step, reason], [later, "stopped"]);
  const last = await resume("--target-loss off");
  assertEquals([last.step, last.reason], [16, "done"]);
  assertEquals(
    await weights(here, `run/${state}`),
    await weights(here, `whole/${state}`),
  );
});

Deno.test("--target-loss is refused if no evaluation could stop the run", async () => {
  await using here = await Workplace.create();
  for (const interval of [0, 12, 13]) {
    const { code, stderr } = await here.run(small(
      `--steps 12 --eval-interval ${interval} --target-loss 1.88 --out run`,
    ));
    assertEquals(code, 2, stderr);
    assertStringIncludes(
      stderr,
      `Cannot stop at --target-loss 1.88 with --eval-interval ${interval}: no evaluation comes before the last of 12 steps`,
    );
    assertStringIncludes(stderr, "hint: an --eval-interval between 1 and ");
  }
  await here.run(small("--steps 2 --eval-interval 0 --out run"));
  const { code, stderr } = await here.run(
    "train --resume run --steps 9 --target-loss 2".split(" "),
  );
  assertEquals(code, 2, stderr);
  assertStringIncludes(stderr, "hint: --target-loss off continues without it");
});

Deno.test("--max-time counts evaluations: they are shortened, and say so", async () => {
  await using here = await Workplace.create();
  await here.write("long.txt", TEXT.repeat(4000)); // an evaluation of it takes half a minute
  for (const interval of [0, 5]) {
    const begun = performance.now();
    const { code, stderr } = await here.run(small(
      `--data long.txt --eval-tokens all --steps 1000000 --eval-interval ${interval} ` +
        `--checkpoint-interval 0 --max-time 4s --out run-${interval}`,
    ));
    const seconds = (performance.now() - begun) / 1000;
    assertEquals(code, 0, stderr);
    assert(seconds > 2 && seconds < 7, `ended after ${seconds} s`);
    const events = await told(here, `run-${interval}`);
    const { tokens, ofTokens, step } = events.findLast(({ event }) =>
      event === "eval"
    );
    assert(tokens > 0 && tokens < ofTokens);
    assertEquals(step, events.at(-1).step);
    assertStringIncludes(
      stderr,
      `(on ${tokens.toLocaleString("en")} of ${
        ofTokens.toLocaleString("en")
      } validation tokens)`,
    );
    const saved = decodeCheckpoint(
      await Deno.readFile(
        here.file(`run-${interval}`, "checkpoint.safetensors"),
      ),
    );
    assertEquals(saved.training?.step, step);
  }
});

Deno.test("--eval-tokens bounds evaluations, of train and of eval, to the same windows", async () => {
  await using here = await Workplace.create();
  const { stderr } = await here.run(small("--eval-tokens 64 --out run"));
  assertStringIncludes(stderr, "(on 64 of 239 validation tokens)");
  const { valLoss, tokens, ofTokens } = (await told(here, "run"))
    .findLast(({ event }) => event === "eval");
  assertEquals([tokens, ofTokens], [64, 239]);
  for (const all of ["all", "0"]) {
    await here.run(small(`--eval-tokens ${all} --out ${all}`));
    const event = (await told(here, all)).findLast(({ event }) =>
      event === "eval"
    );
    assertEquals([event.tokens, event.ofTokens], [239, 239]);
  }
  const flags = "--batch-size 2 --json --device reference --eval-tokens";
  const measure = async (bound: string) => {
    const { stdout } = await here.run(
      ["eval", "run", ...flags.split(" "), bound],
    );
    return JSON.parse(stdout);
  };
  const part = await measure("64");
  assertEquals([part.tokens, part.ofTokens, part.valLoss], [64, 239, valLoss]);
  const whole = await measure("all");
  assertEquals([whole.tokens, whole.ofTokens], [239, 239]);
  assertEquals(await measure("0"), whole);
  assertEquals(await measure("239"), whole);
});

Deno.test("Evaluations of other tokens count neither as the lowest nor for patience", async () => {
  await using here = await Workplace.create();
  // With a learning rate of 0 all evaluations of the same tokens are alike, and none is lower than the first.
  const { code } = await here.run(small(
    "--learning-rate 0 --schedule constant --eval-interval 2 --steps 4 " +
      "--sample-interval 0 --checkpoint-interval 2 --patience 4 --out run",
  ));
  assertEquals(code, 0);
  const losses = async () =>
    (await told(here, "run")).filter(({ event }) => event === "eval")
      .map(({ valLoss, tokens }) => [tokens, valLoss]);
  const [all, whole] = (await losses())[0]!;
  const resume = async (flags: string) =>
    await here.run(["train", "--resume", "run", ...flags.split(" ")]);
  // Of these 64 tokens the same weights have another loss: it is a lowest of its own.
  const part = await resume("--device reference --steps 8 --eval-tokens 64");
  assertEquals(part.code, 0, part.stderr);
  const [tokens, loss] = (await losses()).at(-1)!;
  assertEquals(tokens, 64);
  assert(loss !== whole);
  assertStringIncludes(
    part.stderr,
    `no earlier evaluation measured 64 of ${all} validation tokens: the lowest loss and --patience start over`,
  );
  assert(!part.stderr.includes(", the lowest "), part.stderr);
  const found = await names(here.file("run"));
  assert(found.includes("best.safetensors"));
  assert(found.includes("best-earlier.safetensors"));
  // Of the whole split step 2 was evaluated; steps 8, 10, 12 and 14 are no better.
  const again = await resume(
    "--device reference --steps 40 --eval-tokens all --patience 4",
  );
  assertEquals((await told(here, "run")).at(-1).step, 14, again.stderr);
  assertStringIncludes(
    again.stderr,
    `no evaluation of the last 4 had a lower loss than ${whole!.toFixed(4)}`,
  );
  assert(!again.stderr.includes("no earlier evaluation"), again.stderr);
});

Deno.test("An evaluation that --max-time cuts short is no lowest loss, unless it is the only one", async () => {
  await using here = await Workplace.create();
  await here.write("long.txt", TEXT.repeat(4000));
  const { code, stderr } = await here.run(small(
    "--data long.txt --eval-tokens all --steps 1000000 --eval-interval 0 " +
      "--checkpoint-interval 0 --max-time 3s --out run",
  ));
  assertEquals(code, 0, stderr);
  assert((await Deno.stat(here.file("run/best.safetensors"))).isFile);
  assert(!stderr.includes("the lowest"), stderr);
});

Deno.test("The advice after --max-time stopped a run helps", async () => {
  await using here = await Workplace.create();
  await here.write("long.txt", TEXT.repeat(40));
  const flags = "--steps 1000000 --eval-interval 0 --sample-interval 0 " +
    "--checkpoint-interval 0 --max-time 2s --out run";
  const first = await here.run(small(flags));
  const [, advice] = /resume it: +.*cli\.ts (train .*)/.exec(first.stderr)!;
  assertEquals(advice, "train --resume run");
  const { step } = (await told(here, "run")).at(-1);
  assert(step > 0);
  const more = await here.run([
    ...advice!.split(" "),
    ...["--device", "reference", "--steps", String(step + 1)],
  ]);
  assertEquals(more.code, 0, more.stderr);
  assertEquals((await told(here, "run")).at(-1).step, step + 1);
  // One that has no time for a single step would not come further with the same limit.
  const stuck = await here.run(small(
    "--n-embd 128 --block-size 256 --batch-size 16 --steps 100 " +
      "--data long.txt --max-time 1s --out stuck",
  ));
  assertEquals(stuck.code, 0, stuck.stderr);
  assertEquals((await told(here, "stuck")).at(-1).step, 0);
  assertMatch(stuck.stderr, /train --resume stuck --max-time off$/m);
});

Deno.test("The advice after patience stopped a run helps", async () => {
  await using here = await Workplace.create();
  const { stderr } = await here.run(small(
    "--learning-rate 0 --schedule constant --eval-interval 2 --steps 40 " +
      "--sample-interval 0 --checkpoint-interval 2 --patience 3 --out run",
  ));
  assertEquals((await told(here, "run")).at(-1).step, 8);
  const [, advice] = /resume it: +.*cli\.ts (train .*)/.exec(stderr)!;
  const more = await here.run([...advice!.split(" "), "--device", "reference"]);
  assertEquals(more.code, 0, more.stderr);
  assertEquals((await told(here, "run")).at(-1).step, 40);
});

Deno.test("A run resumed with more steps says how its learning rate changes", async () => {
  await using here = await Workplace.create();
  await here.run(small("--out run --warmup-steps 2 --schedule cosine"));
  const resume = "train --resume run --device reference --steps".split(" ");
  const { stderr } = await here.run([...resume, "24"]);
  const line =
    /^the learning rate goes from (\S+) to (\S+): the schedule that ended at step 12 now ends at step 24$/m;
  const [, was, is] = line.exec(stderr)!;
  const rates = (await told(here, "run")).filter(({ event }) =>
    event === "step"
  )
    .map(({ learningRate }) => Number(learningRate.toPrecision(3)));
  assertEquals(Number(is), rates[12]);
  assert(Number(was) < Number(is) && Number(was) <= rates[11]!);
  const { stderr: again } = await here.run(
    ["train", ...SMALL, "--schedule", "constant", "--warmup-steps", "0"].concat(
      "--out",
      "flat",
    ),
  );
  assert(!again.includes("learning rate goes"));
  const flat = await here.run([...resume.with(2, "flat"), "24"]);
  assertEquals(flat.code, 0, flat.stderr);
  assert(!flat.stderr.includes("learning rate goes"), flat.stderr);
});

Deno.test("A resumed run keeps its limits, unless flags override them", async () => {
  await using here = await Workplace.create();
  const options =
    "--patience 3 --target-loss 0.5 --max-time 1h --eval-tokens 100 --keep 2 --on-nonfinite skip";
  await here.run(small(
    `${options} --learning-rate 0 --schedule constant --eval-interval 2 ` +
      "--sample-interval 0 --checkpoint-interval 2 --steps 4 --out run",
  ));
  const recorded = async () =>
    JSON.parse(await Deno.readTextFile(here.file("run/config.json"))).options;
  const kept = {
    ...{ maxTime: 3600, evalTokens: 100, patience: 3, keep: 2 },
    targetLoss: 0.5,
    onNonfinite: "skip",
  };
  assertEquals(await recorded(), kept);
  const resume = (flags: string) =>
    here.run([
      ..."train --resume run --device reference".split(" "),
      ...flags.split(" "),
    ]);
  assertEquals((await resume("--steps 40")).code, 0);
  assertEquals((await told(here, "run")).at(-1).step, 8);
  assertEquals(await recorded(), kept);
  assertEquals((await resume("--steps 12 --patience off --keep 1")).code, 0);
  assertEquals((await told(here, "run")).at(-1).step, 12);
  assertEquals(await recorded(), { ...kept, patience: null, keep: 1 });
  const numbered = (await names(here.file("run")))
    .filter((name) => name.startsWith("checkpoint-"));
  assertEquals(numbered, ["checkpoint-000012.safetensors"]);
});

Deno.test("--init begins with another run's weights, and with moments and steps of its own", async () => {
  await using here = await Workplace.create();
  await here.run(small("--out first"));
  await here.write("other.txt", TEXT.replaceAll("cat", "hat"));
  const { code, stderr } = await here.run([
    ...["train", "--init", "first", "--data", "other.txt", "--out", "second"],
    ...["--preset", "tiny", "--batch-size", "2", "--steps", "1"],
    ...["--learning-rate", "0", "--schedule", "constant"],
    ...["--device", "reference"],
  ]);
  assertEquals(code, 0, stderr);
  const before = await weights(here, "first/checkpoint.safetensors");
  const after = await weights(here, "second/checkpoint.safetensors");
  for (const [name, { data }] of before) {
    if (name.startsWith("optimizer.")) continue;
    assertEquals(after.get(name)!.data, data, name);
  }
  assertEquals((await told(here, "second")).map(({ step }) => step)[0], 0);
});

Deno.test("--init refuses another architecture and a text that its tokenizer does not know", async () => {
  await using here = await Workplace.create();
  await here.run(small("--out first"));
  await here.write("foreign.txt", "ÄÖÜ ".repeat(50));
  const cases: [string, number, string][] = [
    [
      "--n-layer 3",
      2,
      "Cannot use --n-layer 3 with --init first: the run has 1",
    ],
    [
      "--tokenizer bytes",
      2,
      "Cannot use --tokenizer bytes with --init first: the run has chars",
    ],
    ["--data foreign.txt", 1, "the tokenizer came with the weights of"],
    ["--resume first", 2, "with --resume: a resumed run keeps its settings"],
  ];
  for (const [flags, code, says] of cases) {
    const outcome = await here.run(
      ["train", "--init", "first", "--out", "x", ...flags.split(" ")],
    );
    assertEquals(outcome.code, code, outcome.stderr);
    assertStringIncludes(outcome.stderr, says);
  }
});

Deno.test("--keep keeps that many earlier checkpoints, unchanged", async () => {
  await using here = await Workplace.create();
  await here.run(small("--checkpoint-interval 3 --keep 2 --out run"));
  const kept = (await names(here.file("run")))
    .filter((name) => name.startsWith("checkpoint-")).toSorted();
  assertEquals(kept, [
    "checkpoint-000009.safetensors",
    "checkpoint-000012.safetensors",
  ]);
  const bytes = await Deno.readFile(here.file("run", kept[0]!));
  assertEquals(decodeCheckpoint(bytes).training?.step, 9);
});

Deno.test("Flags of limits are refused with the reason", async () => {
  await using here = await Workplace.create();
  for (const time of ["0", "soon", "10x", "1m1h", "-1"]) {
    const { code, stderr } = await here.run(small(`--max-time=${time}`));
    assertEquals(code, 2);
    assertStringIncludes(
      stderr,
      "is not a time above 0 such as 90s, 10m or 1h30m",
    );
  }
  for (
    const [flag, least] of [["patience=0", 1], ["patience=2.5", 1], [
      "keep=-1",
      0,
    ]]
  ) {
    const { code, stderr } = await here.run(small(`--${flag}`));
    assertEquals(code, 2);
    assertStringIncludes(stderr, `is not an integer of at least ${least}`);
  }
});

Deno.test("Runs started in the same second take names of their own", async () => {
  await using here = await Workplace.create();
  // Without --out each run is named after its preset and the second.
  const flags = ["train", ...SMALL, "--steps", "1"];
  const results = await Promise.all(
    Array.from({ length: 4 }, () => here.run(flags)),
  );
  for (const { code, stderr } of results) assertEquals(code, 0, stderr);
  assertEquals((await names(here.file("runs"))).length, 4);
});

Deno.test("A run that fails before its first step leaves no directory", async () => {
  await using here = await Workplace.create();
  const large = "--device wasm --batch-size 2000000 --steps 1";
  for (const out of [[], ["--out", "run"], ["--out", "a/b"]]) {
    const { code, stderr } = await here.run([...small(large), ...out]);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "GB");
  }
  assertEquals(await names(here.file(".")), ["text.txt"]);
});

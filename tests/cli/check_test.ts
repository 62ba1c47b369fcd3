/**
 * `check` as a user runs it: a machine and a run that are all right, runs whose masks leak, and
 * runs with damaged files. That each kernel check can fail is `conformance_test.ts`.
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import {
  decodeCheckpoint,
  encodeCheckpoint,
} from "../../lib/formats/checkpoint.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { SMALL, Workplace } from "./process.ts";

/** What `--json` says of one check. */
interface Told {
  readonly event: string;
  readonly group: string;
  readonly check: string;
  readonly status: string;
  readonly found: string;
}

/** Its lines, by group and check. */
function verdictsOf(stdout: string): Map<string, Told> {
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.at(-1).event, "end");
  return new Map(
    lines.filter(({ event }) => event === "check")
      .map((told) => [`${told.group}: ${told.check}`, told]),
  );
}

/** A text that can be learned and not foretold: words of random letters, in random order. */
function randomProse(words: number): string {
  const random = new CounterRandom(11, Purpose.sample);
  const vocabulary = Array.from({ length: 120 }, (_, word) =>
    Array.from(
      { length: 2 + random.below(6, word, 99) },
      (_, i) => "etaoinshrdlucmfw"[random.below(16, word, i)],
    ).join(""));
  return Array.from({ length: words }, (_, i) => {
    const rank = random.uniform(1000, i) ** 2; // some are frequent
    return vocabulary[Math.floor(rank * vocabulary.length)]! +
      (i % 9 === 8 ? "\n" : " ");
  }).join("");
}

const learning =
  "train --preset tiny --data prose.txt --device wasm --threads 1 --steps 250"
    .split(" ");
const checking = "check --no-machine --device wasm --threads 1".split(" ");

Deno.test("check finds nothing wrong with the reference, and says what it skipped", async () => {
  await using here = await Workplace.create();
  const { code, stdout, stderr } = await here.run(
    ["check", "--device", "reference", "--json"],
  );
  assertEquals(code, 0, stdout + stderr);
  const verdicts = verdictsOf(stdout);
  assertEquals(verdicts.get("kernels: matmul")?.status, "ok");
  assertEquals(verdicts.get("gradients: nanoGPT")?.status, "ok");
  assertEquals(verdicts.get("causality: decoding")?.status, "ok");
  assertEquals(verdicts.get("repeatability: twice")?.status, "ok");
  assertEquals(verdicts.get("repeatability: threads")?.status, "skipped");
  assertGreater(verdicts.size, 40);
});

Deno.test("check passes a healthy run and names the leak of a mask that is not causal", async (test) => {
  await using here = await Workplace.create();
  await here.write("prose.txt", randomProse(16_000));
  for (const mask of ["causal", "none", "zeroed"]) {
    await test.step(mask, async () => {
      const trained = await here.run(
        [...learning, "--mask", mask, "--out", mask],
      );
      assertEquals(trained.code, 0, trained.stderr);
      const { code, stdout, stderr } = await here.run(
        [...checking, mask, "--json"],
      );
      const verdicts = verdictsOf(stdout);
      const leaks = [...verdicts].filter(([, { status, found }]) =>
        status === "failed" && found.startsWith("LEAK")
      ).map(([name]) => name);
      if (mask === "causal") {
        assertEquals(code, 0, stdout + stderr);
        assertEquals(leaks, []);
      } else {
        assertEquals(code, 1, stdout + stderr);
        assertEquals(leaks, [
          "the future: full pass",
          "the future: prefill",
          "the future: two paths",
          // A zeroed mask leaks too little in so short a training to spoil the text.
          ...(mask === "none" ? ["its own text: free running"] : []),
        ]);
      }
    });
  }
  await test.step("in words that fit 80 columns", async () => {
    const { stdout } = await here.run([...checking, "none"]);
    assertMatch(stdout, /^ {2}FAIL +two paths +LEAK: loss \d/m);
    assertMatch(stdout, /^ {32}hint: --mask none lets the model see/m);
    assertMatch(stdout, /^\d FAILED, \d+ ok/m);
    for (const line of stdout.split("\n")) assert(line.length <= 80, line);
  });
});

Deno.test("check names damaged files of a run, and files of another run", async (test) => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  const check = async () => {
    const { code, stdout, stderr } = await here.run(
      ["check", "--no-machine", "--device", "reference", "run", "--json"],
    );
    assertEquals(stderr, "");
    return { code, verdicts: verdictsOf(stdout) };
  };
  const expectFailure = async (name: string, found: string) => {
    const { code, verdicts } = await check();
    assertEquals(code, 1);
    const told = verdicts.get(`files: ${name}`);
    assertEquals(told?.status, "failed");
    assertStringIncludes(told!.found, found);
  };
  const metrics = await Deno.readTextFile(here.file("run", "metrics.jsonl"));
  const config = await Deno.readTextFile(here.file("run", "config.json"));
  const checkpoint = await Deno.readFile(
    here.file("run", "checkpoint.safetensors"),
  );
  const steps = (step: number) =>
    metrics.split("\n").filter((line) =>
      line.includes('"step"') && JSON.parse(line).step === step &&
      JSON.parse(line).event === "step"
    )[0]!;

  await test.step("none", async () => {
    const { verdicts } = await check();
    for (const [name, { status }] of verdicts) {
      if (name.startsWith("files")) assertEquals(status, "ok", name);
    }
  });
  await test.step("a step that is missing", async () => {
    await here.write("run/metrics.jsonl", metrics.replace(`${steps(5)}\n`, ""));
    await expectFailure("metrics.jsonl", "step 6 comes after step 4");
  });
  await test.step("a step told twice", async () => {
    const twice = `${steps(5)}\n${steps(5)}`;
    await here.write("run/metrics.jsonl", metrics.replace(steps(5), twice));
    await expectFailure("metrics.jsonl", "step 5 comes after step 5");
  });
  await test.step("another loss", async () => {
    const other = metrics.replaceAll(/"valLoss":[\d.]+/g, '"valLoss":1.25');
    await here.write("run/metrics.jsonl", other);
    await expectFailure("recorded loss", "recorded as 1.2500");
    await here.write("run/metrics.jsonl", metrics);
  });
  await test.step("a config of another model", async () => {
    const other = config.replace('"rope"', '"alibi"');
    await here.write("run/config.json", other);
    await expectFailure(
      "config.json",
      "position is alibi, in the checkpoint rope",
    );
    await here.write("run/config.json", config);
  });
  await test.step("a number that is none", async () => {
    const content = decodeCheckpoint(checkpoint.slice());
    content.tensors.get("wte.weight")!.data[0] = NaN;
    await here.write("run/checkpoint.safetensors", encodeCheckpoint(content));
    await expectFailure("checkpoint", "is NaN");
  });
  await test.step("a byte that changed", async () => {
    const damaged = checkpoint.slice();
    damaged[damaged.length - 8]! ^= 1;
    await here.write("run/checkpoint.safetensors", damaged);
    await expectFailure("checkpoint", "it is damaged: the digest");
  });
  await test.step("a checkpoint cut short", async () => {
    await here.write(
      "run/checkpoint.safetensors",
      checkpoint.subarray(0, checkpoint.length - 100),
    );
    await expectFailure("checkpoint", "Cannot read");
  });
});

Deno.test("check says what it cannot do", async () => {
  await using here = await Workplace.create();
  const nothing = await here.run(["check", "--no-machine"]);
  assertEquals(nothing.code, 2);
  assertStringIncludes(nothing.stderr, "--no-machine needs a RUN");
  const alone = await here.run(["check", "--precision", "f16"]);
  assertEquals(alone.code, 2);
  assertStringIncludes(alone.stderr, "only the steps of a --preset take it");
  const nowhere = await here.run(["check", "nowhere"]);
  assertEquals(nowhere.code, 1);
  assertStringIncludes(nowhere.stderr, "Cannot read nowhere");
});

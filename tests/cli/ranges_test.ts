/** Every flag that takes a number, of every command: what is taken, and what is refused before anything is loaded. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { isWithin } from "../../lib/range.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { parseArguments } from "../../lib/cli/command/arguments.ts";
import { UsageError } from "../../lib/cli/command/errors.ts";
import { flagsOf } from "../../lib/cli/command/arguments.ts";
import { commandNamed, commands } from "../../lib/cli/command/registry.ts";
import { flagName } from "../../lib/cli/command/flag.ts";
import { Workplace } from "./process.ts";

type Limits = readonly [taken: readonly string[], refused: readonly string[]];

const size: Limits = [["1", "16777216"], ["0", "16777217", "-1", "1.5"]];
const count: Limits = [["1", "1e3", "2147483648"], ["0", "2147483649", "0.5"]];
const interval: Limits = [["0", "2147483648"], ["-1", "2147483649", "0.5"]];
const share: Limits = [["0", "0.999"], ["-0.001", "1", "1.5"]];
const rate: Limits = [["0", "1e-9", "1e9"], ["-1e-9", "1e999"]];
const positive: Limits = [["1e-9", "1e9"], ["0", "-1", "1e999"]];
const atLeastOne: Limits = [["1", "1e9"], ["0", "-1", "1.5", "1e999"]];
const cores: Limits = [["1", "256"], ["0", "257", "1.5"]];
const seed: Limits = [["0", "4294967295"], ["-1", "4294967296", "0.5"]];

const limits: Readonly<Record<string, Limits>> = {
  vocabSize: size,
  blockSize: size,
  nLayer: [["1", "1024"], ["0", "1025"]],
  nHead: size,
  nKvHead: size,
  nEmbd: size,
  headSize: size,
  nHidden: size,
  ropeTheta: positive,
  ropeScaling: [["off", "1", "32"], ["0.5", "-1"]],
  ropeContext: size,
  normEps: positive,
  maskValue: [["-1e4", "0", "1e300"], ["1e999", "-1e999"]],
  dropout: share,
  labelSmoothing: share,
  logitSoftcap: [["off", "1e-9", "50"], ["0", "-1"]],
  batchSize: count,
  gradAccumulation: count,
  maxSteps: count,
  learningRate: rate,
  minLearningRate: rate,
  warmupSteps: interval,
  decaySteps: [["off", "1"], ["0", "0.5"]],
  muonLearningRate: rate,
  momentum: share,
  beta1: share,
  beta2: share,
  eps: positive,
  weightDecay: rate,
  gradClip: rate,
  seed,
  evalInterval: interval,
  sampleInterval: interval,
  checkpointInterval: interval,
  threads: cores,
  jobs: cores,
  patience: [["off", "1"], ["0", "1.5"]],
  targetLoss: [["off", "1e-9", "1.88"], ["0", "-1"]],
  keep: [["0", "9"], ["-1", "0.5"]],
  evalTokens: [["0", "1", "1e9"], ["-1", "0.5", "off"]],
  tokens: atLeastOne,
  numSamples: atLeastOne,
  temperature: rate,
  topK: atLeastOne,
  topP: [["0", "0.9", "1"], ["-0.1", "1.0001", "1.5"]],
  minP: [["0", "0.1", "1"], ["-0.1", "1.5"]],
  repetitionPenalty: positive,
  steps: atLeastOne,
  seeds: [["1", "100"], ["0", "101"]],
  arms: [["3", "10000"], ["2", "10001"]],
  least: atLeastOne,
  most: atLeastOne,
  port: [["0", "65535"], ["-1", "65536", "0.5"]],
  rows: cores,
  queue: [["0", "1e9"], ["-1", "0.5"]],
  maxTokens: atLeastOne,
};
/** `eval` takes what shapes there are from the model, not from a configuration. */
const ofEval: Readonly<Record<string, Limits>> = {
  blockSize: atLeastOne,
  batchSize: atLeastOne,
};

for (const verb of commands) {
  const numeric = Object.entries(flagsOf(verb))
    .filter(([, { value = "" }]) => /^[NX](\||$)/.test(value));
  if (numeric.length === 0) continue;
  Deno.test(`Numbers of ${verb.name} are taken up to their limits and refused beyond`, () => {
    for (const [key, { range }] of numeric) {
      const [taken, refused] = verb.name === "eval" && ofEval[key] ||
        limits[key] || [[], []];
      assert(taken.length > 0 && refused.length > 0, `no limits of ${key}`);
      assert(range !== undefined);
      const name = `--${flagName(key)}`;
      for (const text of taken) {
        for (const args of [[name, text], [`${name}=${text}`]]) {
          const { flags } = parseArguments(args, verb);
          const wanted = text === "off" ? null : Number(text);
          assertEquals(flags, { [key]: wanted }, args.join(" "));
        }
      }
      for (const text of [...refused, "", "x", "1,5", "NaN", "0x10"]) {
        const { message } = assertThrows(
          () => parseArguments([`${name}=${text}`], verb),
          UsageError,
        );
        assertStringIncludes(message, `${name} ${text}: "${text}" is not a`);
      }
    }
  });
}

Deno.test("Flags refuse just the numbers that the library refuses", () => {
  const values = [-1, -1e-9, 0, 1e-9, 0.5, 1, 1.5, 1024, 1025, 2 ** 24];
  values.push(2 ** 24 + 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32, 1e300);
  const flags = flagsOf(commandNamed("train", false));
  const own = ["keep", "patience", "targetLoss", "threads", "evalTokens"];
  for (const [key, { range }] of Object.entries(flags)) {
    if (range === undefined || own.includes(key)) continue;
    const isModel = key in modelConfig({ vocabSize: 1 });
    for (const value of values) {
      let refused = false;
      try {
        if (isModel) modelConfig({ vocabSize: 1, [key]: value });
        else trainConfig({ [key]: value });
      } catch (error) {
        // Fields that have to fit together are no matter of one flag.
        refused = error instanceof RangeError &&
          error.message.includes(`${key} (${value}) is not a`) &&
          !error.message.includes("multiple of");
      }
      assertEquals(!isWithin(value, range), refused, `${key} ${value}`);
    }
  }
});

Deno.test("A number out of range is a usage error before a run, a text or a device is opened", async () => {
  await using here = await Workplace.create();
  const cases = [
    "sample no-such-run --top-p 1.5",
    "sample no-such-run --seed -1",
    "train --data no-such-file --steps 0",
    "train --init no-such-run --lr=-1",
    "train --resume no-such-run --patience 0",
    "eval no-such-run --batch-size 0",
    "check no-such-run --threads 0",
    "lab run no-such-study --jobs 257",
    "lab ablate --data no-such-file --seeds 0",
  ];
  await Promise.all(cases.map(async (line) => {
    const { code, stdout, stderr } = await here.run(line.split(" "));
    assertEquals([code, stdout], [2, ""], line);
    assertMatch(stderr, /^error: Cannot use --\S+ \S+: .* is not (a|an) /);
  }));
});

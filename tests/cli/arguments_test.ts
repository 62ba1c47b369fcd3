import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { modelFields } from "../../lib/config/model.ts";
import { trainFields } from "../../lib/config/train.ts";
import {
  parseArguments,
  type Syntax,
} from "../../lib/cli/command/arguments.ts";
import { program } from "../../lib/cli/command/program.ts";
import { UsageError } from "../../lib/cli/command/errors.ts";
import { flagsOf } from "../../lib/cli/command/arguments.ts";
import { commandNamed, commands } from "../../lib/cli/command/registry.ts";
import { flagName } from "../../lib/cli/command/flag.ts";
import {
  infoFlags,
  reportFlags,
  sampleFlags,
  type TrainFlags,
  trainFlags as flagsOfTrain,
} from "../../lib/cli/verbs/flags.ts";

const trainVerb = { ...commandNamed("train", false), flags: flagsOfTrain };
const sampleVerb = { ...commandNamed("sample", false), flags: sampleFlags };
const infoVerb = { ...commandNamed("info", false), flags: infoFlags };
const reportVerb = { ...commandNamed("report", false), flags: reportFlags };

function trainFlags(...args: string[]): Partial<TrainFlags> {
  return parseArguments(args, trainVerb).flags;
}

/** Checks that the arguments are refused, with these words in message or hint. */
function assertRefused(
  args: string[],
  words: string[],
  syntax: Syntax,
): void {
  const { message } = assertThrows(
    () => parseArguments(args, syntax),
    UsageError,
  );
  for (const word of words) assertStringIncludes(message, word);
}

Deno.test("Flags of every configuration field exist in kebab-case", () => {
  const names = Object.keys(flagsOf(trainVerb)).map(flagName);
  for (const field of [...modelFields.keys(), ...trainFields.keys()]) {
    const kebab = field === "maxSteps"
      ? "steps"
      : field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    assertEquals(names.includes(kebab), true, kebab);
  }
});

Deno.test("Flags give typed values, with a space or with =", () => {
  assertEquals(
    trainFlags(
      "--n-layer",
      "4",
      "--dropout=.5",
      "--mlp",
      "geluTanh",
      "--learning-rate",
      "1e-3",
      "--json",
      "--out",
      "a b",
    ),
    {
      nLayer: 4,
      dropout: 0.5,
      mlp: "geluTanh",
      learningRate: 1e-3,
      json: true,
      out: "a b",
    },
  );
});

Deno.test("Flags that were not given have no value at all", () => {
  assertEquals(trainFlags(), {});
});

Deno.test("Switches of the model can be turned on and off", () => {
  assertEquals(trainFlags("--bias", "--no-residual"), {
    bias: true,
    residual: false,
  });
  assertEquals(trainFlags("--bias", "--no-bias"), { bias: false });
});

Deno.test("Flags with a number or off take both", () => {
  assertEquals(trainFlags("--logit-softcap", "off"), { logitSoftcap: null });
  assertEquals(trainFlags("--logit-softcap", "15"), { logitSoftcap: 15 });
  assertRefused(
    ["--logit-softcap", "on"],
    ["is not a number above 0 or off"],
    trainVerb,
  );
});

Deno.test("Times are hours, minutes and seconds, in this order; alone they are seconds", () => {
  const times: [text: string, seconds: number | null][] = [
    ...[["1", 1], ["90", 90], ["90s", 90], ["10m", 600], ["2h", 7200]] as const,
    ...[["1h30m", 5400], ["1h2m3s", 3723], ["1m5", 65]] as const,
    ["off", null],
  ].map(([text, seconds]) => [text, seconds] as [string, number | null]);
  for (const [text, maxTime] of times) {
    assertEquals(trainFlags("--max-time", text), { maxTime }, text);
  }
});

Deno.test("Flags take values that begin with one dash", () => {
  assertEquals(trainFlags("--mask-value", "-1e4"), { maskValue: -1e4 });
  const { flags } = parseArguments(["--prompt", "- so"], sampleVerb);
  assertEquals(flags, { prompt: "- so" });
});

Deno.test("Flags take values that begin with two dashes after = only", () => {
  const { flags } = parseArguments(["--prompt=--so"], sampleVerb);
  assertEquals(flags, { prompt: "--so" });
  assertRefused(
    ["--prompt", "--json"],
    ["--prompt: it needs a value"],
    sampleVerb,
  );
});

Deno.test("Flags keep text as it is: empty, with line ends, with =, with digits", () => {
  for (const prompt of ["", "a\nb", "a=b", "007", "true", "é"]) {
    const { flags } = parseArguments(["--prompt", prompt], sampleVerb);
    assertEquals(flags, { prompt });
  }
});

Deno.test("Flags that may be repeated keep all values, others the last", () => {
  const args = ["--stop", "a", "--seed", "1", "--stop=b", "--seed", "2"];
  assertEquals(parseArguments(args, sampleVerb).flags, {
    stop: ["a", "b"],
    seed: 2,
  });
});

Deno.test("Every flag may be written with underscores", () => {
  for (const verb of commands) {
    for (const [key, flag] of Object.entries(flagsOf(verb))) {
      const value = flag.words?.[0] ?? (flag.range ? "1" : "x");
      const name = flagName(key);
      const take = (name: string) => {
        const isSwitch = flag.value === undefined;
        try {
          return parseArguments(
            [isSwitch ? `--${name}` : `--${name}=${value}`],
            verb,
          ).flags;
        } catch (error) {
          return String(error); // of the value: the same for both names
        }
      };
      assertEquals(take(name.replaceAll("-", "_")), take(name), name);
      if (flag.negatable) {
        const denied = `--no_${name.replaceAll("-", "_")}`;
        assertEquals(parseArguments([denied], verb).flags, { [key]: false });
      }
    }
  }
  assertEquals(trainFlags("--n_layer", "4", "--no_bias"), {
    nLayer: 4,
    bias: false,
  });
});

Deno.test("Names that other programs have for a flag mean that flag", () => {
  assertEquals(trainFlags("--lr", "1e-3"), { learningRate: 1e-3 });
  assertEquals(trainFlags("--lr=1e-3"), { learningRate: 1e-3 });
  assertEquals(trainFlags("--max-iters", "7"), { maxSteps: 7 });
  assertEquals(trainFlags("--max_iters", "7"), { maxSteps: 7 });
  assertEquals(trainFlags("--steps", "1", "--max-iters", "7"), { maxSteps: 7 });
  assertEquals(trainFlags("--max-iters", "7", "--steps", "1"), { maxSteps: 1 });
  // As nanoGPT's own command lines have them.
  const nanoGpt = "--max_iters=2000 --lr_decay_iters=2000 --min_lr=1e-4 " +
    "--learning_rate=1e-3 --warmup_iters=100 --gradient_accumulation_steps=4 " +
    "--eval_interval=250 --batch_size=12 --block_size=64 --n_layer=4 " +
    "--n_head=4 --n_embd=128 --dropout=0.1 --weight_decay=0.1 --beta2=0.99 " +
    "--grad_clip=1.0 --no_bias";
  assertEquals(trainFlags(...nanoGpt.split(" ")), {
    ...{ maxSteps: 2000, decaySteps: 2000, minLearningRate: 1e-4 },
    ...{ learningRate: 1e-3, warmupSteps: 100, gradAccumulation: 4 },
    ...{ evalInterval: 250, batchSize: 12, blockSize: 64, nLayer: 4 },
    ...{ nHead: 4, nEmbd: 128, dropout: 0.1, weightDecay: 0.1, beta2: 0.99 },
    ...{ gradClip: 1, bias: false },
  });
  const sample = "--max_new_tokens 9 --top_k=5 --num_samples 2";
  assertEquals(
    parseArguments(sample.split(" "), sampleVerb).flags,
    { tokens: 9, topK: 5, numSamples: 2 },
  );
  const { flags } = parseArguments(["--max-new-tokens", "9"], sampleVerb);
  assertEquals(flags, { tokens: 9 });
});

Deno.test("No two flags of a command have a name in common", () => {
  for (const verb of commands) {
    const names = Object.entries(flagsOf(verb)).flatMap((
      [key, { aliases = [] }],
    ) => [flagName(key), ...aliases]);
    assertEquals(names.length, new Set(names).size, verb.name);
  }
});

Deno.test("--max-steps means --steps", () => {
  assertEquals(trainFlags("--max-steps", "7"), { maxSteps: 7 });
  assertEquals(trainFlags("--steps", "7"), { maxSteps: 7 });
});

Deno.test("--plan takes a plan's name or stands alone", () => {
  const plan = (...args: string[]) => {
    const { flags, operand } = parseArguments(args, infoVerb);
    return [flags.plan, operand];
  };
  assertEquals(plan("--plan"), ["train", undefined]);
  assertEquals(plan("--plan", "decode", "run"), ["decode", "run"]);
  assertEquals(plan("--plan", "run"), ["train", "run"]);
  assertEquals(plan("run", "--plan"), ["train", "run"]);
});

Deno.test("A command may take several operands, in their order", () => {
  const args = ["a", "--out", "c.html", "b"];
  const { operands, operand, flags } = parseArguments(args, reportVerb);
  assertEquals([operands, operand], [["a", "b"], "a"]);
  assertEquals(flags, { out: "c.html" });
  assertEquals(parseArguments([], reportVerb).operands, []);
});

Deno.test("The operand may look like a number or follow --", () => {
  assertEquals(parseArguments(["007"], sampleVerb).operand, "007");
  assertEquals(parseArguments(["--", "--run"], sampleVerb).operand, "--run");
});

Deno.test("Invalid arguments are refused, with a hint", () => {
  const cases: [args: string[], ...words: string[]][] = [
    [["--n-layers", "4"], "--n-layers", "did you mean --n-layer?"],
    [["--nLayer=4"], "--nLayer", "did you mean --n-layer?"],
    [["--n_layers", "4"], "did you mean --n-layer?"],
    [["--lerning-rate", "1"], "did you mean --learning-rate?"],
    [["--no-baies"], "did you mean --no-bias?"],
    [["--no-n-layer"], "did you mean --n-layer?"],
    [["--xyzzy"], "--xyzzy", "train --help"],
    [["-x"], "-x", "train --help"],
    [["-1"], "-1", "train --help"],
    [["--n-layer"], "--n-layer: it needs a value", "--n-layer N"],
    [["--n-layer", "--json"], "--n-layer: it needs a value"],
    [["--n-layer", "four"], '"four" is not an integer'],
    [["--n-layer", "1.5"], '"1.5" is not an integer'],
    [["--n-layer", ""], '"" is not an integer'],
    [["--n-layer", "0x10"], '"0x10" is not an integer'],
    [["--dropout", "1/2"], '"1/2" is not a number from 0 to below 1'],
    [["--dropout", "NaN"], '"NaN" is not a number'],
    [["--dropout", "Infinity"], '"Infinity" is not a number'],
    [["--mlp", "gelutanh"], "none of geluTanh", "did you mean geluTanh?"],
    [["--json=yes"], "--json", "it is a switch"],
    [["--no-bias=1"], "--no-bias a value", "it is a switch"],
    [["-json"], "-json: ", "did you mean --json?"],
    [["--=x"], "train has no such flag"],
    [["text.txt"], '"text.txt"', "train takes flags only"],
    [["-x"], "Cannot use -x: ", `${program()} train --help lists all flags`],
  ];
  for (const [args, ...words] of cases) assertRefused(args, words, trainVerb);
  assertRefused(["a", "b"], ['"b"', "sample takes one RUN"], sampleVerb);
});

/**
 * The flags of `lm`'s commands, in the order of help and under its titles. Each flag is one row: the casts repeat
 * what its maker returns, as isolated declarations infer no call, and the types of the values are made from them.
 */

import { type Device, devices } from "../../backends/open.ts";
import type { ModelConfig } from "../../config/model.ts";
import {
  DEFAULT_PRESET,
  type PresetName,
  presets,
} from "../../config/presets.ts";
import { type TrainConfig, trainFields } from "../../config/train.ts";
import { type ExportFormatName, exportFormats } from "../../export/exports.ts";
import type { FloatType } from "../../formats/floats.ts";
import { EVAL_TOKENS } from "../../train/split_losses.ts";
import { readSeparator } from "../text/documents.ts";
import {
  type TokenizerChoice,
  tokenizerFlag,
} from "../text/tokenizer_choice.ts";
import { modelFlags, trainingFlags } from "../command/field_flags.ts";
import {
  atLeastOne,
  choice,
  cores,
  countOrAll,
  dataFlag,
  type Flag,
  type FlagsOf,
  integer,
  number,
  numberOrOff,
  optionalChoice,
  spanOrOff,
  text,
  texts,
  toggle,
  ValueError,
  type ValuesOf,
} from "../command/flag.ts";

/** `--device`. */
export const deviceFlag: Flag<Device> = choice(devices, {
  help: "where to compute; auto: the fastest, measured if there is a GPU",
  without: "auto",
});

/** `--threads`. */
export const threadsFlag: Flag<number> = integer({
  help: "worker threads of the CPU engine, --device wasm",
  without: "the machine's cores",
}, cores);

/** Makes `--blas`, with the command's own default. */
export function blasFlagWithout(without: "auto" | "off"): Flag<string> {
  return text("auto|off|PATH", {
    help:
      "native library that multiplies matrices for --device wasm: OpenBLAS, BLIS, MKL or Accelerate",
    without,
  });
}

/** `--blas`. */
const blasFlag: Flag<string> = blasFlagWithout("auto");

/** `--help`. */
export const helpFlag: Flag<boolean> = toggle("show this help", {
  aliases: ["h"],
});

/** Flags of every command that computes. */
export const whereItRuns = {
  device: deviceFlag as Flag<Device>,
  threads: threadsFlag as Flag<number>,
  blas: blasFlag as Flag<string>,
  help: helpFlag as Flag<boolean>,
};

/** `--best`. */
export const bestFlag: Flag<boolean> = toggle(
  "use the weights with the lowest validation loss, not the last ones",
);

/** Makes `--preset`, with the command's own help and default. */
export function presetFlag(
  help: string,
  without: string = DEFAULT_PRESET,
): Flag<PresetName> {
  const names = Object.keys(presets) as PresetName[];
  return choice(names, { help, without });
}

/** `--document-separator`. */
const separatorFlag: Flag<string> = {
  help:
    "separator of the documents in the files of --data, such as \\n for one per line",
  value: "TEXT",
  read: (texts) => {
    const separator = readSeparator(texts.at(-1)!);
    if (separator === "") throw new ValueError("is an empty text");
    return separator;
  },
};

const startingPreset = presetFlag(
  "settings to start from; the other flags override them",
);

/** `train`. */
export const trainFlags = {
  "The run": {
    preset: startingPreset as Flag<PresetName>,
    data: dataFlag("tinyshakespeare") as Flag<readonly string[]>,
    documentSeparator: separatorFlag as Flag<string>,
    tokenizer: tokenizerFlag({
      help:
        "the tokens: ASCII characters, the characters of the text (and of FILE), bytes, N parts of words learned from the text, GPT-2's, or those of a file",
      without: "the preset's",
    }) as Flag<TokenizerChoice>,
    alphabet: text("TEXT", {
      help:
        "further characters for --tokenizer chars, so that the model can read other texts",
    }) as Flag<string>,
    out: text("DIR", {
      help: "the run's directory; it must be new or empty",
      without: "runs/PRESET-DATE-TIME",
    }) as Flag<string>,
    resume: text("RUN", {
      help:
        "continue a run with its own settings; only --steps, --device and a few others can change",
    }) as Flag<string>,
    initFrom: text("RUN", {
      help:
        "start from the weights of a run or a checkpoint, with its architecture and tokenizer",
    }) as Flag<string>,
    maxTime: spanOrOff({
      help:
        "stop after this time, such as 90s, 10m or 1h30m; the learning rate still follows --steps",
    }) as Flag<number | null>,
    evalTokens: countOrAll({
      help:
        "most validation tokens per evaluation, spread evenly over the split; all or 0: the whole split",
      without: String(EVAL_TOKENS),
    }) as Flag<number>,
    patience: numberOrOff({
      help:
        "stop after N evaluations in a row without a new lowest validation loss",
    }, { least: 1, whole: true }) as Flag<number | null>,
    targetLoss: numberOrOff({
      help: "stop after an evaluation with at most this validation loss",
    }, { above: 0 }) as Flag<number | null>,
    keep: integer({
      help: "number of earlier checkpoints to keep, besides the last",
      without: "0",
    }, { least: 0 }) as Flag<number>,
    onNonfinite: choice(["stop", "skip"], {
      help: "what to do when the loss or the gradient is not finite",
      without: "stop",
    }) as Flag<"stop" | "skip">,
    json: toggle("print events as JSON, one a line") as Flag<boolean>,
  },
  "The model": modelFlags as FlagsOf<ModelConfig>,
  "The training": trainingFlags as FlagsOf<TrainConfig>,
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `train`. */
export type TrainFlags = ValuesOf<typeof trainFlags>;

/** `sample`. */
export const sampleFlags = {
  "The text": {
    prompt: text("TEXT", {
      help:
        "text to continue, or - for standard input; printed before the continuation",
      without: "a newline, not printed",
    }) as Flag<string>,
    promptFile: text("FILE", {
      help:
        "file with the text to continue; a newline at its end is part of it",
    }) as Flag<string>,
    tokens: integer({
      help: "most tokens to generate",
      without: "500",
      aliases: ["max-new-tokens"],
    }, atLeastOne) as Flag<number>,
    numSamples: integer({
      help: "number of texts; each has the previous text's seed plus 1",
      without: "1",
    }, atLeastOne) as Flag<number>,
    stop: texts("TEXT", {
      help: "stop before this text; may be given several times",
    }) as Flag<readonly string[]>,
  },
  Sampling: {
    temperature: number({
      help:
        "below 1: likely tokens more often; above 1: less often; 0: always the likeliest",
      without: "0.8",
    }, { least: 0 }) as Flag<number>,
    topK: integer(
      { help: "choose among the N likeliest tokens", without: "all" },
      atLeastOne,
    ) as Flag<number>,
    topP: number({
      help: "choose among the likeliest tokens whose probabilities add up to X",
    }, { least: 0, most: 1 }) as Flag<number>,
    minP: number({
      help: "choose among tokens at least X times as likely as the likeliest",
    }, { least: 0, most: 1 }) as Flag<number>,
    repetitionPenalty: number({
      help: "above 1: tokens that have already occurred become less likely",
    }, { above: 0 }) as Flag<number>,
    seed: integer({
      help: "the same seed gives the same text",
      without: "another each time",
    }, trainFields.get("seed")!.range!) as Flag<number>,
  },
  Other: {
    best: bestFlag as Flag<boolean>,
    json: toggle("print each text as a JSON event when it is complete") as Flag<
      boolean
    >,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `sample`. */
export type SampleFlags = ValuesOf<typeof sampleFlags>;

/** `serve`. */
export const serveFlags = {
  "Where it listens": {
    port: integer({
      help: "port to listen on; 0: any free one",
      without: "8000",
    }, {
      least: 0,
      most: 65535,
    }) as Flag<number>,
    host: text("ADDRESS", {
      help: "address to listen on; 0.0.0.0: all, which needs --token",
      without: "127.0.0.1, this machine alone",
    }) as Flag<string>,
    token: text("SECRET", {
      help: "answer only clients that send this secret as their API key",
    }) as Flag<string>,
    allowOrigin: texts("ORIGIN", {
      help:
        "let pages of this origin use the server, such as http://localhost:3000; may be given several times",
    }) as Flag<readonly string[]>,
  },
  Limits: {
    rows: integer(
      { help: "texts to generate at a time", without: "8" },
      { least: 1, most: 256 },
    ) as Flag<number>,
    queue: integer({
      help: "texts that may wait; a request that needs more is refused",
      without: "64",
    }, { least: 0 }) as Flag<number>,
    maxTokens: integer(
      { help: "most tokens of a text", without: "2048" },
      atLeastOne,
    ) as Flag<number>,
  },
  Other: {
    best: bestFlag as Flag<boolean>,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `serve`. */
export type ServeFlags = ValuesOf<typeof serveFlags>;

/** Parts of a text that `eval` measures. */
export type EvalSplit = "val" | "train" | "all";

/** `eval`. */
export const evalFlags = {
  Flags: {
    data: dataFlag("the run's own") as Flag<readonly string[]>,
    documentSeparator: separatorFlag as Flag<string>,
    split: choice(["val", "train", "all"], {
      help:
        "val: the last tenth of the text; train: all before it; all: the whole text",
      without: "val for the run's own text, all for another",
    }) as Flag<EvalSplit>,
    evalTokens: countOrAll({
      help: "most tokens to measure, spread evenly over the split",
      without: "all",
    }) as Flag<number>,
    blockSize: integer({
      help: "tokens in a window, at most the model's block size",
      without: "the model's",
    }, atLeastOne) as Flag<number>,
    batchSize: integer(
      { help: "windows evaluated at a time", without: "16" },
      atLeastOne,
    ) as Flag<number>,
    best: bestFlag as Flag<boolean>,
    json: toggle("print the result as a JSON event") as Flag<boolean>,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `eval`. */
export type EvalFlags = ValuesOf<typeof evalFlags>;

/** A plan that `info` can print. */
export type PlanName = "train" | "eval" | "prefill" | "decode";

/** `info`. */
export const infoFlags = {
  "What to show": {
    preset: startingPreset as Flag<PresetName>,
    plan: optionalChoice(["train", "eval", "prefill", "decode"], {
      help: "print a plan, kernel by kernel, instead of the model's card",
    }) as Flag<PlanName>,
    batchSize: trainingFlags.batchSize as Flag<number>,
    precision: trainingFlags.precision as Flag<TrainConfig["precision"]>,
    json: toggle("one JSON object on standard output") as Flag<boolean>,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
  "The model": modelFlags as FlagsOf<ModelConfig>,
};

/** Values of the flags of `info`. */
export type InfoFlags = ValuesOf<typeof infoFlags>;

/** `list`. */
export const listFlags = {
  Flags: {
    json: toggle("one JSON object per run; unknown values are null") as Flag<
      boolean
    >,
    help: helpFlag as Flag<boolean>,
  },
};

/** Values of the flags of `list`. */
export type ListFlags = ValuesOf<typeof listFlags>;

/** `report`. */
export const reportFlags = {
  Flags: {
    out: text("FILE", {
      help: "HTML file to write",
      without:
        "report.html in RUN; for several runs, comparison.html in the first",
    }) as Flag<string>,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `report`. */
export type ReportFlags = ValuesOf<typeof reportFlags>;

/** `export`. */
export const exportFlags = {
  Flags: {
    to: choice(Object.keys(exportFormats) as ExportFormatName[], {
      help: Object.entries(exportFormats)
        .map(([name, { about }]) => `${name}: ${about}`).join("; "),
    }) as Flag<ExportFormatName>,
    dtype: choice(["f32", "f16", "bf16"], {
      help: "numbers of the weights: 32-bit floats, 16-bit floats, or bfloat16",
      without: "f32",
    }) as Flag<FloatType>,
    best: bestFlag as Flag<boolean>,
    help: helpFlag as Flag<boolean>,
  },
};

/** Values of the flags of `export`. */
export type ExportFlags = ValuesOf<typeof exportFlags>;

/** `import`. */
export const importFlags = {
  Flags: {
    out: text("DIR", {
      help: "the run's directory; it must be new or empty",
      without: "runs/NAME-DATE-TIME",
    }) as Flag<string>,
    blockSize: integer({
      help: "longest context, in tokens; a shorter one takes less memory",
      without: "the model's",
    }, modelFlags.blockSize.range!) as Flag<number>,
    tokenizer: tokenizerFlag({
      help:
        "tokenizer to use instead of the model's own: GPT-2's, the characters of a text, or that of a file",
      without: "the model's own",
    }) as Flag<TokenizerChoice>,
    help: helpFlag as Flag<boolean>,
  },
};

/** Values of the flags of `import`. */
export type ImportFlags = ValuesOf<typeof importFlags>;

/** `check`. */
export const checkFlags = {
  Flags: {
    machine: toggle("also check the machine; --no-machine: the run alone", {
      without: "on",
      negatable: true,
    }) as Flag<boolean>,
    preset: presetFlag(
      "also compare training steps of this preset with another engine",
      "none",
    ) as Flag<PresetName>,
    precision: trainingFlags.precision as Flag<TrainConfig["precision"]>,
    data: dataFlag("the run's own") as Flag<readonly string[]>,
    best: bestFlag as Flag<boolean>,
    json: toggle("one JSON object a line on standard output") as Flag<boolean>,
  },
  "Where it runs": whereItRuns as typeof whereItRuns,
};

/** Values of the flags of `check`. */
export type CheckFlags = ValuesOf<typeof checkFlags>;

/** What the program can do, and the flags of each verb: the source of what is accepted and of all help. */

import { type Device, devices } from "../../backends/open.ts";
import { type ModelConfig, modelFields } from "../../config/model.ts";
import { type TrainConfig, trainFields } from "../../config/train.ts";
import {
  DEFAULT_PRESET,
  type PresetName,
  presets,
} from "../../config/presets.ts";
import { EVAL_TOKENS } from "../../train/split_losses.ts";
import type { TokenizerKind } from "../../text/tokenizer.ts";
import type { Syntax } from "./arguments.ts";
import { modelFlags, trainingFlags } from "./field_flags.ts";
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
} from "./flag.ts";
import type { RunOptions } from "./run_options.ts";

/** What is said about a verb. */
export interface VerbSummary {
  readonly name: string;
  /** One line about it. */
  readonly summary: string;
  /** Argument lists to begin with, each with what it does. */
  readonly examples: readonly (readonly [args: string, does: string])[];
}

/** A verb: what it takes, and what its help says. */
export interface Verb<Values> extends Syntax<Values>, VerbSummary {
  /** Its flags, under the titles that help puts over them. */
  readonly sections: Readonly<
    Record<string, readonly (keyof Values & string)[]>
  >;
}

/** Any verb, where the types of its values don't matter. */
export interface AnyVerb extends VerbSummary {
  readonly operand?: string;
  readonly several?: boolean;
  readonly flags: Readonly<Record<string, Flag<unknown>>>;
  readonly sections: Readonly<Record<string, readonly string[]>>;
}

/** Flags of every verb. */
export interface CommonFlags {
  device: Device;
  threads: number;
  help: boolean;
}

/** See {@linkcode CommonFlags}. */
export const commonFlags: FlagsOf<CommonFlags> = {
  device: choice(devices, {
    help: "where to compute; auto: the GPU if there is one, else the CPU",
    without: "auto",
  }),
  threads: integer({
    help: "worker threads of the CPU engine, --device wasm",
    without: "the machine's cores",
  }, cores),
  help: toggle({ help: "show this help", aliases: ["h"] }),
};

/** `--json`. */
export const jsonFlag = (help: string): Flag<boolean> => toggle({ help });

/** What `train` can be told. */
export interface TrainFlags
  extends CommonFlags, ModelConfig, TrainConfig, RunOptions {
  preset: PresetName;
  data: readonly string[];
  tokenizer: TokenizerKind;
  out: string;
  resume: string;
  initFrom: string;
  json: boolean;
}

const presetNames = Object.keys(presets) as PresetName[];

const presetFlag = choice(presetNames, {
  help: "settings to start from; the other flags override them",
  without: DEFAULT_PRESET,
});

/** `train`. */
export const trainVerb: Verb<TrainFlags> = {
  name: "train",
  summary: "train a model on a text, and keep the run in a directory",
  examples: [
    ["train", "five minutes, on tiny Shakespeare"],
    ["train --preset original", "the recipe of the original study"],
    ["train --preset tiny --steps 500", "a small model, in seconds"],
    ["train --data book.txt --tokenizer chars", "a text of your own"],
    ["train --position rope --norm rmsnorm --no-bias", "another architecture"],
    ["train --resume runs/NAME", "continue a run that was stopped"],
    [
      "train --init runs/NAME --data more.txt",
      "start from a run's weights, on a text with the same characters",
    ],
  ],
  flags: {
    preset: presetFlag,
    data: dataFlag("tinyshakespeare"),
    tokenizer: choice(["ascii", "chars", "bytes"], {
      help:
        "what a token is: an ASCII character, any character of the text, or a byte",
      without: "the preset's",
    }),
    out: text("DIR", {
      help: "the run's directory; it must be new or empty",
      without: "runs/PRESET-DATE-TIME",
    }),
    resume: text("RUN", {
      help:
        "continue a run with its own settings; only --steps, --device and a few others can change",
    }),
    initFrom: text("RUN", {
      help:
        "start from the weights of a run or a checkpoint, with its architecture and tokenizer",
    }),
    maxTime: spanOrOff({
      help:
        "end the command after this time, such as 90s, 10m or 1h30m; the learning rate still follows --steps",
    }),
    evalTokens: countOrAll({
      help:
        "most validation tokens that an evaluation measures, spread evenly over the split; all or 0: the whole split",
      without: String(EVAL_TOKENS),
    }),
    patience: numberOrOff({
      help:
        "stop after N evaluations in a row without a new lowest validation loss",
    }, { least: 1, whole: true }),
    keep: integer({
      help: "number of earlier checkpoints to keep, besides the last",
      without: "0",
    }, { least: 0 }),
    onNonfinite: choice(["stop", "skip"], {
      help: "what to do when the loss or the gradient is not finite",
      without: "stop",
    }),
    json: jsonFlag("print events as JSON, one a line"),
    ...commonFlags,
    ...modelFlags,
    ...trainingFlags,
  },
  sections: {
    "The run": [
      "preset",
      "data",
      "tokenizer",
      "out",
      "resume",
      "initFrom",
      "maxTime",
      "evalTokens",
      "patience",
      "keep",
      "onNonfinite",
      "device",
      "threads",
      "json",
      "help",
    ],
    "The model": [...modelFields.keys()],
    "The training": [...trainFields.keys()],
  },
};

/** What `sample` can be told. */
export interface SampleFlags extends CommonFlags {
  prompt: string;
  promptFile: string;
  tokens: number;
  numSamples: number;
  stop: readonly string[];
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repetitionPenalty: number;
  seed: number;
  best: boolean;
  json: boolean;
}

/** `--best`. */
export const bestFlag: Flag<boolean> = toggle({
  help: "use the weights with the lowest validation loss, not the last ones",
});

/** `sample`. */
export const sampleVerb: Verb<SampleFlags> = {
  name: "sample",
  summary: "generate text with a trained model",
  operand: "RUN",
  examples: [
    ["sample", "from the newest run in runs/"],
    ['sample runs/NAME --prompt "ROMEO:" --tokens 300', "continue a prompt"],
    ["sample model.safetensors --temperature 0", "the likeliest text"],
    ["sample --top-k 10 --temperature 0.9 --seed 7", "the same text each time"],
  ],
  flags: {
    prompt: text("TEXT", {
      help:
        "text to continue, or - for standard input; printed before the continuation",
      without: "a line end, not printed",
    }),
    promptFile: text("FILE", {
      help: "file with the text to continue; a line end at its end counts",
    }),
    tokens: integer({
      help: "most tokens to generate",
      without: "500",
      aliases: ["max-new-tokens"],
    }, atLeastOne),
    numSamples: integer({
      help: "number of texts; each has the seed of the one before plus 1",
      without: "1",
    }, atLeastOne),
    stop: texts("TEXT", {
      help: "stop before this text; may be given several times",
    }),
    temperature: number({
      help: "lower is safer, higher is wilder; 0: always the likeliest token",
      without: "0.8",
    }, { least: 0 }),
    topK: integer(
      { help: "choose among the N likeliest tokens", without: "all" },
      atLeastOne,
    ),
    topP: number({
      help: "choose among the likeliest tokens whose probabilities add up to X",
    }, {
      least: 0,
      most: 1,
    }),
    minP: number({
      help: "choose among tokens at least X times as likely as the likeliest",
    }, {
      least: 0,
      most: 1,
    }),
    repetitionPenalty: number({
      help: "above 1: tokens that already occurred become less likely",
    }, {
      above: 0,
    }),
    seed: integer(
      {
        help: "the same seed gives the same text",
        without: "another each time",
      },
      trainFields.get("seed")!.range!,
    ),
    best: bestFlag,
    json: jsonFlag("print each text as a JSON event when it is complete"),
    ...commonFlags,
  },
  sections: {
    "The text": ["prompt", "promptFile", "tokens", "numSamples", "stop"],
    "The choice of tokens": [
      "temperature",
      "topK",
      "topP",
      "minP",
      "repetitionPenalty",
      "seed",
    ],
    "The rest": ["best", "device", "threads", "json", "help"],
  },
};

/** Parts of a text that `eval` measures. */
export type EvalSplit = "val" | "train" | "all";

/** What `eval` can be told. */
export interface EvalFlags extends CommonFlags {
  data: readonly string[];
  split: EvalSplit;
  evalTokens: number;
  blockSize: number;
  batchSize: number;
  best: boolean;
  json: boolean;
}

/** `eval`. */
export const evalVerb: Verb<EvalFlags> = {
  name: "eval",
  summary: "measure a trained model's loss on a text",
  operand: "RUN",
  examples: [
    ["eval runs/NAME", "on the run's own validation split"],
    [
      "eval runs/NAME --data more.txt",
      "on all of a text of the same characters",
    ],
  ],
  flags: {
    data: dataFlag("the run's own"),
    split: choice(["val", "train", "all"], {
      help:
        "val: the last tenth of the text; train: all before it; all: the whole text",
      without: "val for the run's own text, all for another",
    }),
    evalTokens: countOrAll({
      help: "most tokens to measure, spread evenly over the split",
      without: "all",
    }),
    blockSize: integer({
      help: "tokens in a window, at most the model's block size",
      without: "the model's",
    }, atLeastOne),
    batchSize: integer(
      { help: "windows evaluated at a time", without: "16" },
      atLeastOne,
    ),
    best: bestFlag,
    json: jsonFlag("print the result as a JSON event"),
    ...commonFlags,
  },
  sections: {
    Flags: [
      "data",
      "split",
      "evalTokens",
      "blockSize",
      "batchSize",
      "best",
      "device",
      "threads",
      "json",
      "help",
    ],
  },
};

/** The plans that `info` can print. */
export const planNames = ["train", "eval", "prefill", "decode"] as const;

/** What `info` can be told. */
export interface InfoFlags extends CommonFlags, ModelConfig {
  preset: PresetName;
  batchSize: number;
  plan: typeof planNames[number];
  json: boolean;
}

/** `info`. */
export const infoVerb: Verb<InfoFlags> = {
  name: "info",
  summary: "show what this machine can do, or describe a model",
  operand: "RUN",
  examples: [
    ["info", "adapter, backends, limits"],
    ["info runs/NAME", "a run's losses and command, its model's card"],
    ["info --preset nano-gpu --n-layer 8", "a model that is not trained yet"],
    ["info --preset tiny --plan", "every kernel of a training step"],
    ["info runs/NAME --json", "the card as JSON"],
  ],
  flags: {
    preset: presetFlag,
    plan: optionalChoice(planNames, {
      help: "print a plan, kernel by kernel, in place of the model's card",
    }),
    batchSize: trainingFlags.batchSize,
    json: jsonFlag("one JSON object on standard output"),
    ...commonFlags,
    ...modelFlags,
  },
  sections: {
    "What to show": ["preset", "plan", "batchSize", "json", "help"],
    "The device": ["device", "threads"],
    "The model": [...modelFields.keys()],
  },
};

/** The verbs of this file, in the order of help; `every_verb.ts` has all. */
export const verbs: readonly AnyVerb[] = [
  trainVerb,
  sampleVerb,
  evalVerb,
  infoVerb,
];

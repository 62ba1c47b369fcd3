/** All commands, in the order of help: the parser, help and completions are made from these rows. */

import {
  ablationFlags,
  experimentFlags,
  mergeFlags,
  minimalFlags,
  museumFlags,
  positionsFlags,
  runFlags,
  worksFlags,
} from "../lab/flags.ts";
import {
  checkFlags,
  evalFlags,
  exportFlags,
  helpFlag,
  importFlags,
  infoFlags,
  listFlags,
  reportFlags,
  sampleFlags,
  serveFlags,
  trainFlags,
} from "../verbs/flags.ts";
import type { Operand } from "./arguments.ts";
import type { Command } from "./command.ts";
import { exitCode, usageError } from "./errors.ts";
import type { FlagTable } from "./flag.ts";
import { suggestion } from "./nearest.ts";
import { writeOutput } from "../terminal/terminal.ts";

/** Makes a command whose code the compiler checks against the values of its own flags. */
function command<Table extends FlagTable>(row: Command<Table>): Command {
  return row as Command;
}

const onlyHelp = { Flags: { help: helpFlag } };

const run: Operand = {
  name: "RUN",
  help:
    "RUN is a run's directory or a checkpoint file; by default the newest run in runs/.",
};

const study: Operand = {
  name: "STUDY",
  help: "STUDY is a directory with a plan.json, which lab plan writes.",
};

/** The commands of one word, but for `lab` and `help`. */
export const topCommands: readonly Command[] = [
  command({
    name: "train",
    summary: "train a model on a text and save the run in a directory",
    examples: [
      "train # one to five minutes, on tiny Shakespeare",
      "train --preset original # the recipe of the original study",
      "train --preset tiny --steps 500 # a small model, in seconds",
      "train --data book.txt --tokenizer chars # a text of your own",
      "train --position rope --norm rmsnorm --no-bias # another architecture",
      "train --resume runs/NAME # continue a run that was stopped",
      "train --init runs/NAME --data more.txt # start from a run's weights, on a text with the same characters",
    ],
    flags: trainFlags,
    load: async () => (await import("../verbs/train.ts")).train,
  }),
  command({
    name: "sample",
    summary: "generate text with a trained model",
    operand: run,
    examples: [
      "sample # from the newest run in runs/",
      'sample runs/NAME --prompt "ROMEO:" --tokens 300 # continue a prompt',
      "sample model.safetensors --temperature 0 # the likeliest text",
      "sample --top-k 10 --temperature 0.9 --seed 7 # the same text each time",
    ],
    flags: sampleFlags,
    load: async () => (await import("../verbs/sample.ts")).sample,
  }),
  command({
    name: "serve",
    summary: "answer programs that speak OpenAI's API, with a trained model",
    operand: { ...run, several: true },
    examples: [
      "serve # the newest run in runs/, on http://127.0.0.1:8000/v1",
      "serve runs/NAME --port 9000 --rows 32 # up to 32 texts at a time",
      "serve runs/NAME runs/OTHER # two models; http://127.0.0.1:8000/ shows them side by side",
      "serve --host 0.0.0.0 --token SECRET # for other machines, too",
    ],
    flags: serveFlags,
    load: async () => (await import("../verbs/serve.ts")).serve,
  }),
  command({
    name: "eval",
    summary: "measure a trained model's loss on a text",
    operand: run,
    examples: [
      "eval runs/NAME # on the run's own validation split",
      "eval runs/NAME --data more.txt # on the whole of another text with the same characters",
    ],
    flags: evalFlags,
    load: async () => (await import("../verbs/eval.ts")).evaluate,
  }),
  command({
    name: "info",
    summary: "show what this machine can do, or describe a model",
    operand: {
      name: "RUN",
      help:
        "RUN is a run's directory or a checkpoint file. Without RUN and flags, info describes the machine.",
    },
    examples: [
      "info # adapter, backends, limits",
      "info runs/NAME # a run's losses and command, its model's card",
      "info --preset nano-gpu --n-layer 8 # a model that is not trained yet",
      "info --preset tiny --plan # every kernel of a training step",
      "info runs/NAME --json # the card as JSON",
    ],
    flags: infoFlags,
    load: async () => (await import("../verbs/info.ts")).info,
  }),
  command({
    name: "list",
    summary:
      "list a folder's runs with settings, losses and state; newest first",
    operand: {
      name: "DIR",
      help: "DIR is a folder of runs; by default runs/.",
    },
    examples: [
      "list # the runs in runs/, newest first",
      "list DIR --json # the runs in another folder, as JSON",
    ],
    flags: listFlags,
    load: async () => (await import("../verbs/list.ts")).list,
  }),
  command({
    name: "report",
    summary: "write an HTML report of a run, or a comparison of several",
    operand: {
      name: "RUN",
      help:
        "RUN is a run's directory; by default the newest run in runs/. Several are compared.",
      several: true,
    },
    examples: [
      "report runs/NAME # curves, samples, attention, losses by character",
      "report runs/A runs/B # compare their settings and results",
    ],
    flags: reportFlags,
    load: async () => (await import("../verbs/report.ts")).report,
  }),
  command({
    name: "import",
    summary: "make a run of a model that another program wrote",
    operand: {
      name: "PATH",
      help:
        "PATH is a folder with a Hugging Face model (GPT-2, Llama or Qwen), nanoGPT's ckpt.pt, or a GGUF file of one of these architectures.",
      required: true,
    },
    examples: [
      "import gpt2-folder --out runs/gpt2 # then sample runs/gpt2",
      "import llama-folder --block-size 2048 # with a shorter context",
      "import out/ckpt.pt --tokenizer gpt2 # nanoGPT's, with its training",
      "import model-Q8_0.gguf # llama.cpp's, with its tokenizer",
    ],
    flags: importFlags,
    load: async () => (await import("../verbs/import.ts")).importModel,
  }),
  command({
    name: "export",
    summary: "write a trained model for other programs",
    operand: {
      name: "RUN OUT",
      help:
        "RUN is a run's directory or a checkpoint file. OUT is the file or folder to write.",
      several: true,
      required: true,
    },
    examples: [
      "export runs/NAME folder --to hf # for Hugging Face's transformers",
      "export runs/NAME half --to hf --dtype f16 # half the size",
      "export runs/NAME model.gguf --to gguf # for llama.cpp",
      "export runs/NAME out --to nanogpt # train.py --init_from=resume continues",
    ],
    flags: exportFlags,
    load: async () => (await import("../verbs/export.ts")).exportModel,
  }),
  command({
    name: "check",
    summary: "verify this machine's numerics and, optionally, a run",
    operand: {
      name: "RUN",
      help:
        "RUN is a run's directory or a checkpoint file. Without it, check tests the machine alone.",
    },
    examples: [
      "check # kernels, gradients, causality, repeatability, speed",
      "check runs/NAME # also the run's files, leaks of later tokens, its text, copying",
      "check --device webgpu # the same on another device",
      "check --no-machine --preset original # ten training steps, compared with another engine",
    ],
    flags: checkFlags,
    load: async () => (await import("../verbs/check.ts")).check,
  }),
  command({
    name: "completions",
    summary: "print a script that completes commands and flags in your shell",
    operand: {
      name: "SHELL",
      help: "SHELL is bash, zsh or fish.",
      required: true,
    },
    examples: [
      "completions bash > ~/.lm-completions # then source that in ~/.bashrc",
      "completions zsh > ~/.zfunc/_lm # in a directory of $fpath",
      "completions fish > ~/.config/fish/completions/lm.fish # for fish",
    ],
    flags: onlyHelp,
    load: async () => {
      const { completions } = await import("./completions.ts");
      return async ({ operand }) => {
        const known = { commands, topNames, labNames };
        await writeOutput(completions(operand, known));
        return exitCode.ok;
      };
    },
  }),
];

/** The commands of `lm lab`; their names begin with `lab `. */
export const labCommands: readonly Command[] = [
  command({
    name: "lab ablate",
    summary: "change one part of a recipe at a time, and compare the losses",
    examples: [
      "lab ablate --quick # a rough table in five minutes",
      "lab ablate # three seeds, an hour",
      "lab ablate --preset original # with the recipe of the original study",
      "lab ablate --part position --part mask # only these",
    ],
    flags: ablationFlags,
    load: async () => {
      const { labExperiment } = await import("../lab/experiment.ts");
      return (given) => labExperiment("ablate", given);
    },
  }),
  command({
    name: "lab scaling",
    summary:
      "fit how the loss falls with model and text size, and test the fit",
    examples: [
      "lab scaling # widths and lengths around the default",
      "lab scaling --quick # the same in minutes, roughly",
    ],
    flags: experimentFlags,
    load: async () => {
      const { labExperiment } = await import("../lab/experiment.ts");
      return (given) => labExperiment("scaling", given);
    },
  }),
  command({
    name: "lab minimal",
    summary: "search for the smallest model that reaches a target",
    examples: [
      "lab minimal # for each rung of the ladder, an hour",
      "lab minimal --target 1.732 --most 80000 # for a validation loss",
      "lab minimal --target spells # for one rung; lab works lists the rungs",
    ],
    flags: minimalFlags,
    load: async () => (await import("../lab/minimal.ts")).labMinimal,
  }),
  command({
    name: "lab positions",
    summary: "measure what each kind of position encoding is worth",
    examples: [
      "lab positions --quick # a rough answer, of one seed, in minutes",
      "lab positions # three seeds, ten minutes on two free cores",
    ],
    flags: positionsFlags,
    load: async () => {
      const { labExperiment } = await import("../lab/experiment.ts");
      return (given) => labExperiment("positions", given);
    },
  }),
  command({
    name: "lab works",
    summary: "show the ladder of abilities, and the rungs that a model reaches",
    operand: {
      name: "RUN",
      help:
        "RUN is a run's directory or a checkpoint file. Without it, lab works describes the text alone.",
    },
    examples: [
      "lab works # what tiny Shakespeare asks for",
      "lab works runs/NAME # and what a run reaches",
    ],
    flags: worksFlags,
    load: async () => (await import("../lab/works.ts")).labWorks,
  }),
  command({
    name: "lab plan",
    summary:
      "write an experiment's plan and list its trials, without running them",
    operand: {
      name: "EXPERIMENT",
      help: "EXPERIMENT is ablate, scaling or positions.",
    },
    examples: [
      "lab plan ablate # into studies/ablate-default",
      "lab plan scaling --seeds 5 --out s # then lab run s runs it",
    ],
    flags: ablationFlags,
    load: async () => (await import("../lab/experiment.ts")).labPlan,
  }),
  command({
    name: "lab run",
    summary: "run the trials of a study that are not done yet",
    operand: study,
    examples: [
      "lab run studies/ablate-default # one trial after the other",
      "lab run studies/ablate-default --jobs 2 # two at a time, one thread each",
      "lab run studies/ablate-default --shard 1/4 # a quarter, on one of four machines",
    ],
    flags: runFlags,
    load: async () => (await import("../lab/run.ts")).labRun,
  }),
  command({
    name: "lab merge",
    summary: "collect the outcomes of a study in its trials.jsonl",
    operand: study,
    examples: [
      "lab merge studies/ablate-default # what ran here",
      "lab merge studies/ablate-default --from a --from b # and on other machines",
    ],
    flags: mergeFlags,
    load: async () => (await import("../lab/report.ts")).labMerge,
  }),
  command({
    name: "lab report",
    summary:
      "print a study as a table, and write its report.md and report.html",
    operand: study,
    examples: [
      "lab report studies/ablate-default # its cells, by validation loss",
    ],
    flags: onlyHelp,
    load: async () => (await import("../lab/report.ts")).labReport,
  }),
  command({
    name: "lab museum",
    summary:
      "make famous mistakes on purpose, and show which check notices each",
    operand: {
      name: "EXHIBIT",
      help: "EXHIBIT is a mistake's name; without one, lab museum lists them.",
      several: true,
    },
    examples: [
      "lab museum # the list of exhibits",
      "lab museum zero-mask # one of them",
      "lab museum --all --out museum # all, as a report and a page",
    ],
    flags: museumFlags,
    load: async () => (await import("../lab/museum.ts")).labMuseum,
  }),
];

/** All commands. */
export const commands: readonly Command[] = [...topCommands, ...labCommands];

/** The commands that are one word. */
export const topNames: readonly string[] = [
  ...topCommands.map(({ name }) => name),
  ...["lab", "help"],
];

/** The lab's commands, without the word before them. */
export const labNames: readonly string[] = labCommands.map(({ name }) =>
  name.slice("lab ".length)
);

/**
 * Returns the command of a name.
 *
 * @param inLab true if the name follows the word `lab`
 * @throws {UsageError} naming the nearest command, if no command has the name
 */
export function commandNamed(name: string, inLab: boolean): Command {
  const prefix = inLab ? "lab " : "";
  const found = commands.find((command) => command.name === prefix + name);
  if (found !== undefined) return found;
  const known = inLab ? labNames : topNames;
  // A command of the lab without the word lab before it is a likely mistake.
  const hint = labNames.includes(name)
    ? `did you mean lab ${name}?`
    : suggestion(
      name.replace(/^-+/, ""),
      known,
      `the commands are ${known.join(", ")}`,
      prefix,
    );
  throw name.startsWith("-")
    ? usageError(`use ${name} here`, "a command comes first", hint)
    : usageError(`run ${prefix}${name}`, "there is no such command", hint);
}

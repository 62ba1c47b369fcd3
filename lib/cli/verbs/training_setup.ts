/**
 * Prepares a training run before a device is opened: from flags for
 * a new run, from its directory for a resumed one.
 */

import type { Checkpoint } from "../../formats/checkpoint.ts";
import {
  type ModelConfig,
  modelConfig,
  modelFields,
} from "../../config/model.ts";
import {
  type TrainConfig,
  trainConfig,
  trainFields,
} from "../../config/train.ts";
import { Dataset } from "../../text/dataset.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { given } from "../command/arguments.ts";
import {
  type Corpus,
  corpusName,
  type CorpusOptions,
  type CorpusRecord,
  loadCorpus,
  loadDefaultCorpus,
  loadRecorded,
} from "../text/corpus.ts";
import {
  checkUsage,
  CommandError,
  UsageError,
  withFlagNames,
} from "../command/errors.ts";
import { flagName } from "../command/flag.ts";
import { inTime } from "../run/limits.ts";
import { program } from "../command/program.ts";
import { readRunConfig, RunDirectory } from "../run/directory.ts";
import { readHistory, type RunHistory } from "../run/history.ts";
import {
  runOptionNames,
  type RunOptions,
  runOptions,
} from "../command/run_options.ts";
import { newRunPath } from "../run/folder.ts";
import { readTrainedModel, tokenizerOf } from "./trained_model.ts";
import type { TrainFlags } from "./flags.ts";
import { isRefusal, withoutHint } from "../../refusal.ts";

/** A run's model, text, training configuration and directory. */
export interface TrainingSetup {
  /** The run's directory. */
  readonly path: string;
  /** True if a new run takes another name when `path` is taken, because the user did not choose the name. */
  readonly mayRename?: boolean;
  readonly model: ModelConfig;
  readonly train: TrainConfig;
  readonly options: RunOptions;
  readonly tokenizer: Tokenizer;
  readonly dataset: Dataset;
  readonly data: CorpusRecord;
  /** The state from which training is resumed; absent for a new run. */
  readonly resumed?: {
    readonly checkpoint: Checkpoint;
    readonly step: number;
    /** The events and samples it wrote before. */
    readonly history: RunHistory;
  };
  /** The checkpoint that a new run starts from; absent for random weights. */
  readonly initial?: Checkpoint;
  /** The lines kept of a first attempt that left no checkpoint; absent if there was no such attempt. */
  readonly restarted?: RunHistory;
}

/** Prepares what the flags ask for. */
export async function prepareTraining(
  flags: Partial<TrainFlags>,
  signal: AbortSignal,
): Promise<TrainingSetup> {
  return flags.resume === undefined
    ? await newRun(flags, signal)
    : await resumedRun(flags, flags.resume, signal);
}

async function newRun(
  flags: Partial<TrainFlags>,
  signal: AbortSignal,
): Promise<TrainingSetup> {
  const name = flags.preset ?? DEFAULT_PRESET;
  const preset = presets[name];
  const initial = flags.initFrom === undefined
    ? undefined
    : await readInitial(flags.initFrom, flags);
  const train = checkUsage(() =>
    trainConfig({ ...preset.train, ...given(flags, trainFields.keys()) })
  );
  const options = runOptions(flags);
  const configure = (vocabSize: number) =>
    initial?.checkpoint.config ?? checkUsage(() =>
      modelConfig({
        ...preset.model,
        vocabSize,
        ...given(flags, modelFields.keys()),
      }), `what no flag says is as --preset ${name} has it`);
  configure(1); // A mistake in the flags should not cost a download first.
  if (flags.out !== undefined) await RunDirectory.checkFree(flags.out);
  const path = flags.out ?? newRunPath(name);
  const corpus = await load({
    data: flags.data,
    tokenizer: initial?.tokenizer ?? flags.tokenizer ?? preset.tokenizer,
    signal: inTime(signal, options),
  });
  const { tokenizer } = corpus;
  const model = configure(tokenizer.vocabSize);
  if (model.vocabSize !== tokenizer.vocabSize) {
    throw new UsageError(
      `Cannot train with --vocab-size ${model.vocabSize}: the tokenizer ${tokenizer.kind} has ${tokenizer.vocabSize} tokens`,
    );
  }
  return {
    path,
    mayRename: flags.out === undefined,
    options,
    ...prepareText(corpus, { model, train }),
    ...(initial && { initial: initial.checkpoint }),
  };
}

/** Reads the checkpoint that `--init` names: the initial weights and the tokenizer. */
async function readInitial(
  run: string,
  flags: Partial<TrainFlags>,
): Promise<{ checkpoint: Checkpoint; tokenizer: Tokenizer }> {
  const trained = await readTrainedModel(run);
  const { checkpoint } = trained;
  const tokenizer = tokenizerOf(trained);
  const refuse = (flag: string, wanted: unknown, has: unknown) =>
    new UsageError(
      `Cannot use --${flag} ${wanted} with --init ${run}: the run has ${has}`,
      "the weights fit one architecture; only settings of the training can change",
    );
  for (const field of modelFields.keys()) {
    const [wanted, has] = [flags[field], checkpoint.config[field]];
    if (wanted !== undefined && wanted !== has) {
      throw refuse(flagName(field), wanted, has);
    }
  }
  const { tokenizer: kind } = flags;
  if (kind !== undefined && kind !== tokenizer.kind) {
    throw refuse("tokenizer", kind, tokenizer.kind);
  }
  return { checkpoint, tokenizer };
}

/** Flags allowed with `--resume`; all other settings are the run's own. */
export const resumable: readonly (keyof TrainFlags)[] = [
  "resume",
  "maxSteps",
  ...runOptionNames,
  "data",
  "device",
  "threads",
  "json",
];

async function resumedRun(
  flags: Partial<TrainFlags>,
  path: string,
  signal: AbortSignal,
): Promise<TrainingSetup> {
  const keys = Object.keys(flags) as (keyof TrainFlags)[];
  const other = keys.find((key) => !resumable.includes(key));
  if (other !== undefined) {
    throw new UsageError(
      `Cannot use --${
        flagName(other)
      } with --resume: a resumed run keeps its settings`,
      `only ${
        resumable.slice(1).map((key) => `--${flagName(key)}`).join(", ")
      } can change`,
    );
  }
  const trained = await readTrainedModel(path);
  const { checkpoint, data } = trained;
  const { training, config: model } = checkpoint;
  if (training === undefined || trained.path === path) {
    throw new CommandError(
      `Cannot resume ${path}: it is not the directory of a run`,
      `--resume takes a directory that ${program()} train made`,
    );
  }
  // A damaged checkpoint is refused before any long reading.
  const recorded = await readRunConfig(path);
  const { step } = training;
  const train = checkUsage(() =>
    trainConfig({
      ...training.config,
      ...given(flags, ["maxSteps"]),
    })
  );
  const history = await readHistory(path, step, train);
  // A run killed after its last checkpoint still has to emit what was due at that step.
  if (step > train.maxSteps || (step === train.maxSteps && history.complete)) {
    throw new CommandError(
      `Cannot resume ${path}: it has done ${step} of ${train.maxSteps} steps`,
      `--steps ${2 * step} goes on to step ${2 * step}`,
    );
  }
  const options = runOptions(flags, recorded?.["options"]);
  const tokenizer = tokenizerOf(trained);
  const corpus = await load({
    path,
    record: data,
    data: flags.data,
    tokenizer,
    signal: inTime(signal, options),
  });
  const resumed = { checkpoint, step, history };
  return {
    path,
    options,
    ...prepareText(corpus, { model, train }),
    resumed,
  };
}

/** The inputs that determine a run's text. */
interface TextQuestion extends Pick<CorpusOptions, "tokenizer" | "signal"> {
  /** The run, if it is resumed. */
  readonly path?: string;
  readonly record?: CorpusRecord | undefined;
  /** The values of `--data`. */
  readonly data: readonly string[] | undefined;
}

async function load(question: TextQuestion): Promise<Corpus> {
  const { tokenizer } = question;
  try {
    return await findText(question);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CommandError(
      withoutHint(error),
      tokenizer === "ascii"
        ? "--tokenizer chars takes the characters of the text, --tokenizer bytes takes any text"
        : `the tokenizer came with the weights of ${
          question.path ?? "--init"
        }, and knows the characters of their text`,
    );
  }
}

async function findText(
  { path, record, data, ...options }: TextQuestion,
): Promise<Corpus> {
  if (path === undefined) {
    return data === undefined
      ? await loadDefaultCorpus(options)
      : await loadCorpus(data, options);
  }
  if (data !== undefined) {
    return await loadCorpus(data, {
      ...options,
      onRecord: ({ sha256 }) => {
        if (record === undefined || sha256 === record.sha256) return;
        throw new CommandError(
          `Cannot resume ${path} with ${
            data.join(", ")
          }: it is another text (sha256 ${sha256}, not ${record.sha256})`,
        );
      },
    });
  }
  if (record !== undefined) return await loadRecorded(record, options);
  throw new CommandError(
    `Cannot resume ${path}: its config.json does not say on which text`,
    "--data names it",
  );
}

function prepareText(
  { tokens, tokenizer, record }: Corpus,
  { model, train }: Pick<TrainingSetup, "model" | "train">,
): Omit<TrainingSetup, "path" | "options" | "resumed"> {
  const { blockSize } = model;
  const { batchSize, seed } = train;
  let dataset: Dataset;
  try {
    dataset = new Dataset(tokens, { blockSize, batchSize, seed });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new CommandError(
      withFlagNames(error, `train on ${corpusName(record)}`),
      "a smaller --block-size needs less text",
    );
  }
  return { model, train, tokenizer, dataset, data: record };
}

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
import { isRefusal } from "../../refusal.ts";
import { Dataset, tokensWithin } from "../../text/dataset.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import { isBpe, type MadeTokenizer } from "../../text/made_tokenizer.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { given } from "../command/arguments.ts";
import { corpusName, loadCorpus, loadDefaultCorpus } from "../text/corpus.ts";
import type { Corpus, CorpusRecord } from "../text/corpus_tokens.ts";
import {
  choiceName,
  chosenTokenizer,
  openTokenizer,
  tokenizerName,
} from "../text/tokenizer_choice.ts";
import {
  checkUsage,
  commandError,
  usageError,
  withFlagNames,
} from "../command/errors.ts";
import { flagName } from "../command/flag.ts";
import { program } from "../command/program.ts";
import { readRunConfig, RunDirectory } from "../run/directory.ts";
import { readHistory, type RunHistory } from "../run/history.ts";
import { newRunPath } from "../run/folder.ts";
import type { TrainFlags } from "./flags.ts";
import {
  checkTarget,
  inTime,
  runOptionNames,
  type RunOptions,
  runOptions,
} from "./run_options.ts";
import {
  readTrainedModel,
  readWith,
  textOf,
  tokenizerOf,
  withHint,
} from "./trained_model.ts";

/** A run's model, text, training configuration and directory. */
export interface TrainingSetup {
  /** The run's directory. */
  readonly path: string;
  /** True if a new run takes another name when `path` is taken, because the user did not choose the name. */
  readonly mayRename: boolean;
  readonly model: ModelConfig;
  readonly train: TrainConfig;
  readonly options: RunOptions;
  readonly tokenizer: Tokenizer;
  readonly dataset: Dataset;
  /** Tokens that each evaluation measures, if there is time for all. */
  readonly measured: number;
  readonly data: CorpusRecord;
  /** The events that the run wrote before; absent for a new run. */
  readonly history?: RunHistory;
  /** The checkpoint from which training is resumed; absent for a new run, or if the run left none. */
  readonly resumed?: Checkpoint;
  /** The checkpoint whose weights a new run starts from; absent for random weights. */
  readonly initial?: Checkpoint;
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
  checkTarget(options, train, false);
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
  const timed = inTime(signal, options);
  const wanted = initial?.tokenizer ??
    await openTokenizer(
      chosenTokenizer(flags) ?? preset.tokenizer,
      timed,
    );
  const textOptions = {
    tokenizer: wanted,
    mayAddEnd: initial === undefined,
    documents: flags.documentSeparator,
    signal: timed,
  };
  const reading = flags.data === undefined
    ? loadDefaultCorpus(textOptions)
    : loadCorpus(flags.data, textOptions);
  const corpus = flags.initFrom === undefined
    ? await withTokenizerHint(reading, wanted)
    : await readWith(flags.initFrom, reading);
  const { tokenizer } = corpus;
  const model = configure(tokenizer.vocabSize);
  if (model.vocabSize !== tokenizer.vocabSize) {
    throw usageError(
      `train with --vocab-size ${model.vocabSize}`,
      `the tokenizer ${
        tokenizerName(tokenizer)
      } has ${tokenizer.vocabSize} tokens`,
    );
  }
  return {
    path,
    mayRename: flags.out === undefined,
    ...prepareText(corpus, { model, train, options }),
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
    usageError(
      `use --${flag} ${wanted} with --init ${run}`,
      `the run has ${has}`,
      "the weights fit one architecture; only settings of the training can change",
    );
  for (const field of modelFields.keys()) {
    const [wanted, has] = [flags[field], checkpoint.config[field]];
    if (wanted !== undefined && wanted !== has) {
      throw refuse(flagName(field), wanted, has);
    }
  }
  const { alphabet } = flags;
  if (alphabet !== undefined) {
    throw refuse("alphabet", JSON.stringify(alphabet), "a tokenizer");
  }
  const choice = chosenTokenizer(flags);
  const wanted = choice && choiceName(choice);
  const has = tokenizerName(tokenizer);
  if (wanted !== undefined && wanted !== has) {
    throw refuse("tokenizer", wanted, has);
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
  "blas",
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
    throw usageError(
      `use --${flagName(other)} with --resume`,
      "a resumed run keeps its settings",
      `only ${
        resumable.slice(1).map((key) => `--${flagName(key)}`).join(", ")
      } can change`,
    );
  }
  const trained = await readTrainedModel(path);
  const { checkpoint, data } = trained;
  const { training, config: model } = checkpoint;
  if (training === undefined || trained.path === path) {
    throw commandError(
      `resume ${path}`,
      "it is not the directory of a run",
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
    throw commandError(
      `resume ${path}`,
      `it has done ${step} of ${train.maxSteps} steps`,
      `--steps ${2 * step} continues to step ${2 * step}`,
    );
  }
  const options = runOptions(flags, recorded?.["options"]);
  checkTarget(options, train, true);
  const tokenizer = tokenizerOf(trained);
  const corpus = await textOf(trained, flags.data, {
    tokenizer,
    documents: data && (data.documents ?? false),
    signal: inTime(signal, options),
    onRecord: ({ sha256 }) => {
      if (data === undefined || sha256 === data.sha256) return;
      throw commandError(
        `resume ${path} with ${flags.data?.join(", ")}`,
        `it is another text (sha256 ${sha256}, not ${data.sha256})`,
      );
    },
  });
  return {
    path,
    mayRename: false,
    ...prepareText(corpus, { model, train, options }),
    history,
    resumed: checkpoint,
  };
}

/** Awaits a text; if a tokenizer cannot be made for it, the error's hint says what helps. */
function withTokenizerHint(
  corpus: Promise<Corpus>,
  tokenizer: Tokenizer | MadeTokenizer,
): Promise<Corpus> {
  return withHint(
    corpus,
    isBpe(tokenizer)
      ? "a smaller number after --tokenizer bpe: needs less text"
      : "--tokenizer chars takes the characters of the text, --tokenizer bytes takes any text",
  );
}

function prepareText(
  { tokens, tokenizer, record }: Corpus,
  { model, train, options }: Pick<TrainingSetup, "model" | "train" | "options">,
): Omit<TrainingSetup, "path" | "mayRename"> {
  const { blockSize } = model;
  const { batchSize, seed } = train;
  try {
    const dataset = new Dataset(tokens, { blockSize, batchSize, seed });
    const length = dataset.size("val");
    const limit = options.evalTokens || Infinity;
    const measured = tokensWithin(limit, { length }, dataset);
    return {
      model,
      train,
      options,
      tokenizer,
      dataset,
      measured,
      data: record,
    };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw commandError(
      `train on ${corpusName(record)}`,
      withFlagNames(error).reason,
      "a smaller --block-size needs less text",
    );
  }
}

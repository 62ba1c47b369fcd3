/** `train`: trains a model and writes its run. */

import { DeviceLostError, NoAdapterError } from "../../backends/backend.ts";
import { Model, type ModelPlacement } from "../../model/model.ts";
import type { TrainConfig } from "../../config/train.ts";
import { NonFiniteError } from "../../train/metrics.ts";
import { learningRateAt } from "../../train/optimizer.ts";
import { Sampler } from "../../text/sampler.ts";
import { Trainer } from "../../train/trainer.ts";
import { type Arguments, given } from "../command/arguments.ts";
import { corpusName } from "../text/corpus.ts";
import { deviceName } from "./device_name.ts";
import { CommandError, exitCode } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { deadlineOf, Limits, measuredTokens } from "../run/limits.ts";
import { opening } from "../../text/opening.ts";
import { placement } from "./placement.ts";
import { digits } from "../../report/numbers.ts";
import { program, VERSION } from "../command/program.ts";
import {
  files,
  hasCheckpoint,
  readRunConfig,
  RunDirectory,
} from "../run/directory.ts";
import { nothingTold } from "../run/history.ts";
import {
  bold,
  canRedraw,
  StatusLine,
  visible,
  warn,
  writeError,
} from "../terminal/terminal.ts";
import { SAMPLE_TOKENS, withMemoryHint } from "./training_memory.ts";
import { TrainingReport } from "./training_report.ts";
import {
  prepareTraining,
  resumable,
  type TrainingSetup,
} from "./training_setup.ts";
import type { TrainFlags } from "./flags.ts";
import { isFailure } from "../../refusal.ts";

/** Options of the samples made during training, as in the study from which this program grew. */
const SAMPLE = { maxNewTokens: SAMPLE_TOKENS, temperature: 0.9, topK: 10 };

/**
 * Trains a model as the flags say and writes its run.
 *
 * @param args all arguments as they were typed, for the record
 * @param place puts the model on a device
 * @returns the exit code
 */
export async function train(
  { flags }: Arguments<TrainFlags>,
  args: readonly string[],
  place: typeof placeModel = placeModel,
): Promise<number> {
  const { json = false } = flags;
  // JSON on the same terminal would be mixed with the status line.
  const status = new StatusLine(
    canRedraw() && !(json && Deno.stdout.isTerminal()),
  );
  using interrupt = new Interrupt(() => status.leave());
  const stage: Stage = { flags, args, status, interrupt, place };
  let setup = await prepareTraining(flags, interrupt.signal);
  let where = placement(flags);
  for (let losses = 0;;) {
    try {
      return await attempt(setup, where, stage);
    } catch (error) {
      if (where.device === "wasm" || !isLoss(error, losses++)) throw error;
      if (error instanceof GpuLost) {
        setup = await takeUpAgain({ ...setup, path: error.path }, stage);
      }
      // A single loss may be an accident: the same device gets a second chance.
      const elsewhere = losses > 1;
      if (elsewhere) where = { device: "wasm" };
      writeError(
        `${bold("warning:")} ${error.message}\n` +
          `continuing after step ${setup.resumed?.step ?? 0} on ${
            elsewhere
              ? "the CPU: the weights will differ in their last bits from those of a run on one device"
              : "the same device"
          }\n`,
      );
    }
  }
}

/** The inputs that all attempts of a run share. */
interface Stage {
  readonly flags: Partial<TrainFlags>;
  readonly args: readonly string[];
  readonly status: StatusLine;
  readonly interrupt: Interrupt;
  readonly place: typeof placeModel;
}

/** The error that a GPU was lost during a run, which can be resumed in its directory. */
class GpuLost extends Error {
  readonly path: string;

  constructor(message: string, path: string) {
    super(message);
    this.path = path;
  }
}

/** Returns true if another attempt may help: a GPU was lost during a run or before it, or was not found again after a loss. */
function isLoss(error: unknown, losses: number): error is Error {
  return error instanceof GpuLost || error instanceof DeviceLostError ||
    (losses > 0 && error instanceof NoAdapterError);
}

/** Trains until the run is over; returns the exit code. */
async function attempt(
  setup: TrainingSetup,
  where: ModelPlacement,
  { flags, args, status, interrupt, place }: Stage,
): Promise<number> {
  const { signal } = interrupt;
  await using model = await place(setup, where).catch((error) => {
    throw withMemoryHint(error, setup);
  });
  signal.throwIfAborted();
  const trainer = makeTrainer(setup, model);
  const facts = factsOf(setup, model);
  using directory = await RunDirectory.open(setup.path, {
    config: await recordOf(setup, facts, args),
    history: setup.resumed?.history ?? setup.restarted,
    keep: setup.options.keep,
    orNext: setup.mayRename ?? false,
  });
  setup = { ...setup, path: directory.path };
  interrupt.doing = "stopping, after a checkpoint";
  describe(setup, model);
  const { damagedLines = 0 } = setup.resumed?.history ?? {};
  if (damagedLines > 0) {
    warn(
      `left out ${damagedLines} ${
        damagedLines === 1 ? "line" : "lines"
      } of ${setup.path}/metrics.jsonl that held no event`,
    );
  }
  const report = new TrainingReport({
    setup,
    directory,
    status,
    json: flags.json ?? false,
    weights: () => model.save({ tokenizer: setup.tokenizer }),
    onOutputClosed: () => interrupt.stop(),
  });
  let begun = false;
  try {
    const { resumed } = setup;
    if (resumed !== undefined) await trainer.restore(resumed.checkpoint);
    const limits = new Limits(setup);
    await report.begin({
      event: "start",
      step: trainer.step,
      run: setup.path,
      ...facts,
    });
    const deadline = deadlineOf(setup.options);
    for await (const event of trainer.run({ signal, deadline })) {
      begun = true;
      const reached = limits.reachedAt(event);
      if (reached !== undefined) {
        trainer.stop();
        report.runsOutOfPatience(reached);
      }
      await report.take(event);
    }
  } catch (error) {
    status.clear();
    await report.fail(error);
    if (error instanceof DeviceLostError && model.backend.kind === "webgpu") {
      throw new GpuLost(error.message, directory.path);
    }
    const isNew = setup.resumed === undefined && setup.restarted === undefined;
    // A step whose loss is not finite was still a step: its record stays.
    if (isNew && !begun && !(error instanceof NonFiniteError)) {
      directory.discard();
    }
    throw withHint(error, await directory.remains());
  }
  await sayGoodbye(report, directory);
  return signal.aborted && !report.outputClosed
    ? interrupt.exitCode
    : exitCode.ok;
}

async function placeModel(
  { model, train, resumed, initial }: TrainingSetup,
  where: ModelPlacement,
): Promise<Model> {
  const begun = resumed?.checkpoint ?? initial;
  return begun === undefined
    ? await Model.create(model, { ...where, seed: train.seed })
    : await Model.load(begun, where);
}

/** Returns the setup that resumes a run from its last checkpoint, or from its beginning if it has none. */
async function takeUpAgain(
  setup: TrainingSetup,
  { flags, interrupt }: Stage,
): Promise<TrainingSetup> {
  const { path } = setup;
  if (await hasCheckpoint(path)) {
    const kept = given(flags, resumable);
    return await prepareTraining(
      { ...kept, resume: path },
      interrupt.signal,
    );
  }
  return { ...setup, restarted: nothingTold };
}

/** Refuses a run for which the device has too little memory, with a hint. */
function makeTrainer(setup: TrainingSetup, model: Model): Trainer {
  const { dataset, train, tokenizer, options } = setup;
  const { maxNewTokens, ...choice } = SAMPLE;
  try {
    return new Trainer(model, dataset, {
      ...train,
      tokenizer,
      onNonFinite: options.onNonfinite,
      evalTokens: options.evalTokens || Infinity,
      sample: {
        prompt: opening(tokenizer),
        maxNewTokens,
        sampler: new Sampler({ ...choice, seed: train.seed }),
      },
    });
  } catch (error) {
    throw withMemoryHint(error, setup, model);
  }
}

/** Returns the facts that both `config.json` and the first event contain. */
function factsOf(
  { train, options, data, tokenizer }: TrainingSetup,
  { config, parameterCount, backend: { kind, description } }: Model,
): object {
  return {
    device: { kind, description },
    parameters: parameterCount,
    model: config,
    train,
    options,
    data,
    tokenizer: { kind: tokenizer.kind, vocabSize: tokenizer.vocabSize },
  };
}

/** Returns the new contents of `config.json`; a resumed run adds to the old ones. */
async function recordOf(
  { path, train, options, resumed }: TrainingSetup,
  facts: object,
  args: readonly string[],
): Promise<object> {
  const start = {
    command: args,
    began: new Date().toISOString(),
    versions: { lm: VERSION, deno: Deno.version.deno },
  };
  const before = resumed && await readRunConfig(path);
  if (!before) return { ...start, ...facts };
  // The file may have been edited.
  const earlier = Array.isArray(before["resumed"]) ? before["resumed"] : [];
  const again = { step: resumed.step, ...start };
  return { ...before, train, options, resumed: [...earlier, again] };
}

function describe(
  setup: TrainingSetup,
  { parameterCount, backend }: Model,
): void {
  const { path, data, dataset, tokenizer, train, resumed } = setup;
  const count = (value: number) => value.toLocaleString("en");
  const tokens = dataset.size("train") + dataset.size("val");
  const from = resumed === undefined ? "" : ` from step ${resumed.step}`;
  const stretched = resumed === undefined ? "" : stretchedText(train, resumed);
  writeError(
    `${count(parameterCount)} parameters on ${deviceName(backend)}\n` +
      visible(
        `${corpusName(data)}: ${count(tokens)} tokens ` +
          `(${tokenizer.kind}) -> ${path}${from}\n`,
      ) + stretched + remeasuredText(setup),
  );
}

/** Explains how a changed number of steps alters the learning rate of a resumed run; empty if it does not. */
function stretchedText(
  train: TrainConfig,
  { step, checkpoint }: NonNullable<TrainingSetup["resumed"]>,
): string {
  const before = checkpoint.training!.config;
  const [was, is] = [before, train].map((config) =>
    digits(learningRateAt(config, step))
  );
  if (was === is) return "";
  return `the learning rate goes from ${was} to ${is}: the schedule that ended at step ${before.maxSteps} now ends at step ${train.maxSteps}\n`;
}

/** Explains what happens to the lowest loss of a resumed run whose evaluations measured other tokens; empty if they did not. */
function remeasuredText(setup: TrainingSetup): string {
  const { resumed, dataset } = setup;
  const tokens = measuredTokens(setup);
  const { lowest } = resumed?.history ?? nothingTold;
  if (lowest.size === 0 || lowest.has(tokens)) return "";
  return `no earlier evaluation measured ${tokens.toLocaleString("en")} of ${
    (dataset.size("val") - 1).toLocaleString("en")
  } validation tokens: the lowest loss and --patience start anew, ${files.best} becomes ${files.earlierBest}\n`;
}

async function sayGoodbye(
  report: TrainingReport,
  directory: RunDirectory,
): Promise<void> {
  const { path } = directory;
  const lines = [
    report.summary(),
    await directory.remains(),
    `sample it:  ${program()} sample ${path}`,
    `look at it: ${program()} report ${path}`,
  ];
  if (!report.complete) {
    const advice = `${program()} train --resume ${path}`;
    lines.push(`go on:      ${advice}${report.adviceFlag}`);
  }
  writeError(`${lines.join("\n")}\n`);
}

/** Adds a hint to an error: the checkpoint left of the run, and a remedy for a loss that is not finite. */
function withHint(error: unknown, remains: string): unknown {
  if (!(error instanceof Error)) return error;
  const advice = error instanceof NonFiniteError
    ? "; a lower --learning-rate may help"
    : "";
  return isFailure(error)
    ? new CommandError(error.message, remains + advice)
    : error;
}

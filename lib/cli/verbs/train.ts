/** `train`: trains a model and writes its run. */

import { trainingWork } from "../../checks/device_choice.ts";
import { tokenizerName } from "../text/tokenizer_choice.ts";
import { DeviceLostError, NoAdapterError } from "../../backends/backend.ts";
import { Model, type ModelPlacement } from "../../model/model.ts";
import { NonFiniteError } from "../../train/metrics.ts";
import { learningRateAt } from "../../train/optimizer.ts";
import { Sampler } from "../../text/sampler.ts";
import { Trainer } from "../../train/trainer.ts";
import { type Arguments, given } from "../command/arguments.ts";
import { corpusName } from "../text/corpus.ts";
import { deviceName } from "./device_name.ts";
import { commandError, exitCode } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { opening } from "../../text/opening.ts";
import { placementFor } from "./placement.ts";
import { count, digits } from "../../report/numbers.ts";
import { program, VERSION } from "../command/program.ts";
import {
  files,
  hasCheckpoint,
  readRunConfig,
  RunDirectory,
} from "../run/directory.ts";
import { noHistory } from "../run/history.ts";
import {
  bold,
  canRedraw,
  StatusLine,
  visible,
  warn,
  writeError,
} from "../terminal/terminal.ts";
import { deadlineOf } from "./run_options.ts";
import { SAMPLE_TOKENS, withMemoryHint } from "./training_memory.ts";
import { TrainingReport } from "./training_report.ts";
import {
  prepareTraining,
  resumable,
  type TrainingSetup,
} from "./training_setup.ts";
import type { TrainFlags } from "./flags.ts";
import { isRefusal } from "../../refusal.ts";

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
  let where = await placementFor(trainingWork(setup), flags);
  // The step from which the run went on after the last loss of its device.
  let lostAt: number | undefined;
  for (;;) {
    try {
      return await attempt(setup, where, stage);
    } catch (error) {
      const isLoss = error instanceof DeviceLostError ||
        (lostAt !== undefined && error instanceof NoAdapterError);
      if (where.device === "wasm" || !isLoss) throw error;
      if (stage.path !== undefined) setup = await setupAfterLoss(setup, stage);
      const step = setup.history?.step ?? 0;
      // Losses may be accidents, and the same device gets another chance, unless it wrote no checkpoint since the last one.
      const elsewhere = step === lostAt;
      lostAt = step;
      if (elsewhere && setup.train.precision === "f16") throw error; // the CPU has none
      if (elsewhere) where = { device: "wasm" };
      writeError(
        `${bold("warning:")} ${error.message}\n` +
          `continuing after step ${step} on ${
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
  /** The run's directory, once an attempt has opened it. */
  path?: string;
}

/**
 * Trains until the run is over; returns the exit code.
 *
 * @throws {DeviceLostError} if a GPU was lost; the run can be resumed
 */
async function attempt(
  setup: TrainingSetup,
  where: ModelPlacement,
  stage: Stage,
): Promise<number> {
  const { flags, args, status, interrupt, place } = stage;
  const { signal } = interrupt;
  const { history, options, resumed } = setup;
  await using model = await place(setup, where).catch((error) => {
    throw withMemoryHint(error, setup);
  });
  signal.throwIfAborted();
  const trainer = makeTrainer(setup, model);
  const facts = factsOf(setup, model);
  const before = resumed && await readRunConfig(setup.path);
  using directory = await RunDirectory.open(setup.path, {
    config: recordOf(setup, facts, { args, before }),
    history,
    keep: options.keep,
    orNext: setup.mayRename,
  });
  const { path } = directory;
  stage.path = path;
  interrupt.doing = "stopping, after a checkpoint";
  describe({ ...setup, path }, model);
  if (before !== undefined) writeError(otherBlasText(before, model));
  const report = new TrainingReport({
    setup,
    directory,
    status,
    json: flags.json ?? false,
    weights: () => model.save({ tokenizer: setup.tokenizer }),
    onOutputClosed: () => interrupt.stop(),
    onLossEndsRun: () => trainer.stop(),
  });
  let begun = false;
  try {
    if (resumed !== undefined) await trainer.restore(resumed);
    await report.begin({
      event: "start",
      step: trainer.step,
      run: path,
      ...facts,
    });
    const deadline = deadlineOf(options);
    for await (const event of trainer.run({ signal, deadline })) {
      begun = true;
      await report.take(event);
    }
  } catch (error) {
    status.clear();
    await report.fail(error);
    if (error instanceof DeviceLostError && model.backend.kind === "webgpu") {
      throw error;
    }
    // A step whose loss is not finite was still a step: its record stays.
    if (!history && !begun && !(error instanceof NonFiniteError)) {
      directory.discard();
    }
    throw withHint(error, await directory.remains());
  }
  await printSummary(report, directory);
  return signal.aborted && !report.outputClosed
    ? interrupt.exitCode
    : exitCode.ok;
}

async function placeModel(
  { model, train, resumed, initial }: TrainingSetup,
  where: ModelPlacement,
): Promise<Model> {
  const begun = resumed ?? initial;
  return begun === undefined
    ? await Model.create(model, { ...where, seed: train.seed })
    : await Model.load(begun, where);
}

/** Returns the setup that resumes a run from its last checkpoint, or from its beginning if it has none. */
async function setupAfterLoss(
  setup: TrainingSetup,
  { flags, interrupt, path }: Stage,
): Promise<TrainingSetup> {
  const run = path ?? setup.path;
  if (!await hasCheckpoint(run)) {
    return { ...setup, path: run, history: noHistory };
  }
  const kept = given(flags, resumable);
  return await prepareTraining({ ...kept, resume: run }, interrupt.signal);
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
        prompt: opening(tokenizer, {
          documents: setup.data.documents !== undefined,
        }),
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
  { config, parameterCount, backend: { kind, description, blas } }: Model,
) {
  return {
    device: { kind, description, blas: blas?.name ?? null },
    parameters: parameterCount,
    model: config,
    train,
    options,
    data,
    tokenizer: { kind: tokenizer.kind, vocabSize: tokenizer.vocabSize },
  };
}

/** Returns the new contents of `config.json`; a resumed run adds to the old ones. */
function recordOf(
  { train, options, history }: TrainingSetup,
  facts: ReturnType<typeof factsOf>,
  { args, before }: {
    readonly args: readonly string[];
    readonly before: Awaited<ReturnType<typeof readRunConfig>>;
  },
): object {
  const start = {
    command: args,
    began: new Date().toISOString(),
    versions: { lm: VERSION, deno: Deno.version.deno },
  };
  if (!before) return { ...start, ...facts };
  // The file may have been edited.
  const earlier = Array.isArray(before["resumed"]) ? before["resumed"] : [];
  const { device, data } = facts;
  const again = { step: history?.step, ...start, device };
  // An imported run knows its text once it is trained here.
  return { data, ...before, train, options, resumed: [...earlier, again] };
}

/** Explains that a resumed run multiplies with another library than before; empty if it does not. */
function otherBlasText(
  before: Readonly<Record<string, unknown>>,
  { backend: { kind, blas } }: Model,
): string {
  const sessions = Array.isArray(before["resumed"]) ? before["resumed"] : [];
  const devices = [before, ...sessions].map((session) =>
    Object(Object(session)["device"])
  );
  // Sessions before there was a choice of library say nothing of it.
  const last = devices.findLast((device) => "kind" in device);
  const was = last?.blas ?? null;
  const is = blas?.name ?? null;
  if (last?.kind !== kind || was === is) return "";
  const named = (name: string | null) => name ?? "the engine itself";
  return `products were computed by ${named(was)}, now by ${named(is)}: ` +
    "the weights will differ in their last bits from those of an uninterrupted run\n";
}

function describe(
  setup: TrainingSetup,
  { parameterCount, backend }: Model,
): void {
  const { path, data, dataset, tokenizer, history, resumed } = setup;
  const tokens = dataset.size("train") + dataset.size("val");
  const documents = data.documents === undefined ? "" : ", documents";
  const from = resumed === undefined ? "" : ` from step ${history?.step}`;
  writeError(
    `${count(parameterCount)} parameters on ${deviceName(backend)}\n` +
      visible(
        `${corpusName(data)}: ${count(tokens)} tokens ` +
          `(${tokenizerName(tokenizer)}${documents}) -> ${path}${from}\n`,
      ) + scheduleText(setup) + lowestLossText(setup),
  );
  const { damagedLines } = history ?? noHistory;
  if (damagedLines === 0) return;
  const lines = damagedLines === 1 ? "line" : "lines";
  warn(
    `left out ${damagedLines} ${lines} of ${path}/metrics.jsonl that held no event`,
  );
}

/** Explains how a changed number of steps alters the learning rate of a resumed run; empty if it does not. */
function scheduleText({ train, history, resumed }: TrainingSetup): string {
  const before = resumed?.training?.config ?? train;
  const [was, is] = [before, train].map((config) =>
    digits(learningRateAt(config, history?.step ?? 0))
  );
  if (was === is) return "";
  return `the learning rate goes from ${was} to ${is}: the schedule that ended at step ${before.maxSteps} now ends at step ${train.maxSteps}\n`;
}

/** Explains what happens to the lowest loss of a resumed run whose evaluations measured other tokens; empty if they did not. */
function lowestLossText(
  { dataset, measured, history = noHistory }: TrainingSetup,
): string {
  const { lowest } = history;
  if (lowest.size === 0 || lowest.has(measured)) return "";
  return `no earlier evaluation measured ${count(measured)} of ${
    count(dataset.size("val") - 1)
  } validation tokens: the lowest loss and --patience start over, ${files.best} becomes ${files.earlierBest}\n`;
}

async function printSummary(
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
  const { resumeFlags } = report;
  if (resumeFlags !== undefined) {
    const command = `${program()} train --resume ${path}${resumeFlags}`;
    lines.push(`resume it:  ${command}`);
  }
  writeError(`${lines.join("\n")}\n`);
}

/** Returns an error with a hint: the checkpoint left of the run, and a remedy for a loss that is not finite. */
function withHint(error: unknown, remains: string): unknown {
  if (!isRefusal(error)) return error;
  const advice = error instanceof NonFiniteError
    ? "; a lower --learning-rate may help"
    : "";
  return commandError(error.action, error.reason, remains + advice);
}

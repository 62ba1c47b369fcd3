/** `train`: a run from its flags to its last checkpoint. */

import { Model } from "../language_model.ts";
import { NonFiniteError } from "../metrics.ts";
import { Sampler } from "../sampler.ts";
import { Trainer } from "../trainer.ts";
import type { Arguments } from "./arguments.ts";
import { deviceName } from "./device_name.ts";
import { CommandError, exitCode, isFailure } from "./errors.ts";
import { Interrupt } from "./interrupt.ts";
import { opening } from "./opening.ts";
import { placement } from "./placement.ts";
import { program, VERSION } from "./program.ts";
import { readRunConfig, RunDirectory } from "./run_directory.ts";
import { canRedraw, StatusLine, writeError } from "./terminal.ts";
import { TrainingReport } from "./training_report.ts";
import { prepareTraining, type TrainingSetup } from "./training_setup.ts";
import type { TrainFlags } from "./verbs.ts";

/** How samples are made on the way: as in the study this grew from. */
const SAMPLE = { maxNewTokens: 100, temperature: 0.9, topK: 10 } as const;

/**
 * Trains.
 *
 * @param args all arguments as they were typed, for the record
 * @returns the exit code
 */
export async function train(
  { flags }: Arguments<TrainFlags>,
  args: readonly string[],
): Promise<number> {
  const { json = false } = flags;
  // JSON on the same terminal would run through the status line.
  const status = new StatusLine(
    canRedraw() && !(json && Deno.stdout.isTerminal()),
  );
  using interrupt = new Interrupt(() => {
    status.clear();
    writeError("stopping after this step; Ctrl-C again quits at once\n");
  });
  const { signal } = interrupt;
  const setup = await prepareTraining(flags, signal);
  await using model = await placeModel(setup, flags);
  signal.throwIfAborted();
  const facts = factsOf(setup, model);
  using directory = await RunDirectory.open(setup.path, {
    config: await recordOf(setup, facts, args),
    history: setup.resumed?.history,
  });
  describe(setup, model);
  const report = new TrainingReport({
    setup,
    directory,
    status,
    json,
    weights: () => model.save({ tokenizer: setup.tokenizer }),
    onOutputClosed: () => interrupt.stop(),
  });
  try {
    const trainer = await makeTrainer(setup, model);
    await report.begin({
      event: "start",
      step: trainer.step,
      run: setup.path,
      ...facts,
    });
    for await (const event of trainer.run({ signal })) await report.take(event);
  } catch (error) {
    status.clear();
    await report.fail(error);
    throw withHint(error, await directory.remains());
  }
  await sayGoodbye(report, directory);
  return signal.aborted && !report.outputClosed
    ? exitCode.interrupted
    : exitCode.ok;
}

async function placeModel(
  { model, train, resumed }: TrainingSetup,
  flags: Partial<TrainFlags>,
): Promise<Model> {
  return resumed === undefined
    ? await Model.create(model, { ...placement(flags), seed: train.seed })
    : await Model.load(resumed.checkpoint, placement(flags));
}

async function makeTrainer(
  { dataset, train, tokenizer, charsPerToken, resumed }: TrainingSetup,
  model: Model,
): Promise<Trainer> {
  const { maxNewTokens, ...choice } = SAMPLE;
  const trainer = new Trainer(model, dataset, {
    ...train,
    tokenizer,
    charsPerToken,
    sample: {
      prompt: opening(tokenizer),
      maxNewTokens,
      sampler: new Sampler({ ...choice, seed: train.seed }),
    },
  });
  if (resumed !== undefined) await trainer.restore(resumed.checkpoint);
  return trainer;
}

/** What both `config.json` and the first event say. */
function factsOf(
  { train, data, tokenizer }: TrainingSetup,
  { config, parameterCount, backend: { kind, description } }: Model,
): object {
  return {
    device: { kind, description },
    parameters: parameterCount,
    model: config,
    train,
    data,
    tokenizer: { kind: tokenizer.kind, vocabSize: tokenizer.vocabSize },
  };
}

/** What `config.json` is to say; a run that goes on adds to what it said. */
async function recordOf(
  { path, train, resumed }: TrainingSetup,
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
  const { resumed: earlier = [] } = before as { resumed?: object[] };
  const again = { step: resumed.step, ...start };
  return { ...before, train, resumed: [...earlier, again] };
}

function describe(
  { path, data, dataset, tokenizer, resumed }: TrainingSetup,
  { parameterCount, backend }: Model,
): void {
  const count = (value: number) => value.toLocaleString("en");
  const tokens = dataset.size("train") + dataset.size("val");
  const from = resumed === undefined ? "" : ` from step ${resumed.step}`;
  writeError(
    `${count(parameterCount)} parameters on ${deviceName(backend)}\n` +
      `${data.name ?? data.file}: ${count(tokens)} tokens (${tokenizer.kind})` +
      ` -> ${path}${from}\n`,
  );
}

async function sayGoodbye(
  report: TrainingReport,
  directory: RunDirectory,
): Promise<void> {
  const { path } = directory;
  const lines = [
    report.summary(),
    await directory.remains(),
    `sample it: ${program()} sample ${path}`,
  ];
  if (!report.complete) {
    lines.push(`go on:     ${program()} train --resume ${path}`);
  }
  writeError(`${lines.join("\n")}\n`);
}

/** An error, with a word on what is left of the run. */
function withHint(error: unknown, remains: string): unknown {
  if (!(error instanceof Error)) return error;
  const advice = error instanceof NonFiniteError
    ? "; a lower --learning-rate may help"
    : "";
  return isFailure(error)
    ? new CommandError(error.message, remains + advice)
    : error;
}

/** `check`: verifies this machine's numerics and, optionally, a run. */

import type { Backend } from "../../backends/backend.ts";
import { openBackend } from "../../backends/open.ts";
import { batchChecks } from "../../checks/batches.ts";
import { causalityChecks } from "../../checks/causality.ts";
import { dropoutChecks } from "../../checks/dropout.ts";
import { gradientChecks } from "../../checks/gradients.ts";
import { kernelChecks } from "../../checks/kernels.ts";
import { repeatabilityChecks } from "../../checks/repeatability.ts";
import { samplingChecks } from "../../checks/sampling.ts";
import { speedChecks } from "../../checks/speed.ts";
import { compareLoss } from "../../checks/recorded_loss.ts";
import { stepChecks } from "../../checks/steps.ts";
import { trainedChecks } from "../../checks/trained.ts";
import {
  type CheckGroup,
  type Finding,
  verdict,
} from "../../checks/verdict.ts";
import { presetTraining } from "../../checks/workloads.ts";
import { trainConfig } from "../../config/train.ts";
import { splitsOf } from "../../lab/trial.ts";
import { Dataset } from "../../text/dataset.ts";
import type { Tokens } from "../../text/tokens.ts";
import { Model } from "../../model/model.ts";
import { type Arguments, given } from "../command/arguments.ts";
import { fileChecks, recordedLoss } from "./check_files.ts";
import { CheckReport } from "./check_report.ts";
import { deviceName } from "./device_name.ts";
import { CommandError, exitCode, usageError } from "../command/errors.ts";
import { exists } from "../run/files.ts";
import { describeAdapter, describeCpu } from "./info.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { placement } from "./placement.ts";
import { VERSION } from "../command/program.ts";
import {
  readTrainedModel,
  textOf,
  tokenizerOf,
  type TrainedModel,
} from "./trained_model.ts";
import type { CheckFlags } from "./flags.ts";
import { isRefusal } from "../../refusal.ts";

/** Checks the machine, and a run if one is named; returns the exit code. */
export async function check(
  { flags, operand }: Arguments<CheckFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const where = placement(flags);
  const { preset } = flags;
  if (
    flags.machine === false && operand === undefined && preset === undefined
  ) {
    throw usageError(
      "check",
      "--no-machine needs a RUN or a --preset to check",
    );
  }
  if (flags.precision !== undefined && preset === undefined) {
    throw usageError(
      `check with --precision ${flags.precision}`,
      "only the steps of a --preset take it; a run has its own",
    );
  }
  const trained = operand === undefined
    ? undefined
    : await readRun(operand, flags);
  const report = new CheckReport(flags.json ?? false);
  await using backend = await openBackend(where.device, where);
  const isDefault = flags.device === undefined && flags.threads === undefined;
  const groups = flags.machine === false ? [] : [
    machineChecks(backend, isDefault),
    kernelChecks(backend),
    gradientChecks(backend),
    causalityChecks(backend),
    dropoutChecks(backend),
    samplingChecks(),
    repeatabilityChecks(backend),
    speedChecks(backend),
  ];
  if (preset !== undefined) {
    const { model, train } = presetTraining(preset);
    const changed = trainConfig({ ...train, ...given(flags, ["precision"]) });
    const training = { model, train: changed };
    groups.push(stepChecks(backend, training, { name: preset, signal }));
  }
  for (const group of groups) await report.run(group, signal);
  if (trained !== undefined) {
    const groups = trained instanceof Error
      ? [failed(
        { name: "files", meaning: "the run can be read.", check: "checkpoint" },
        trained,
      )]
      : await runChecks(trained, { backend, flags, signal });
    for (const group of groups) await report.run(group, signal);
  }
  await report.end();
  return report.failed ? exitCode.failure : exitCode.ok;
}

/** Reads the run; a run that exists but cannot be read is a finding, not an error. */
async function readRun(
  run: string,
  { best }: Partial<CheckFlags>,
): Promise<TrainedModel | CommandError> {
  try {
    return await readTrainedModel(run, { best });
  } catch (error) {
    if (!(error instanceof CommandError && await exists(run))) throw error;
    return error;
  }
}

/** Returns a group whose only check has failed with an error. */
function failed(
  { name, meaning, check }: Pick<CheckGroup, "name" | "meaning"> & {
    readonly check: string;
  },
  error: Error,
): CheckGroup {
  return {
    name,
    meaning,
    async *run() {
      yield await verdict(check, () => Promise.reject(error));
    },
  };
}

/** Lists the devices and names the one that is checked. */
function machineChecks(backend: Backend, isDefault: boolean): CheckGroup {
  return {
    name: "machine",
    meaning:
      `lm ${VERSION} on Deno ${Deno.version.deno}, ${Deno.build.os} ${Deno.build.arch}; --device chooses the device to check.`,
    async *run() {
      yield {
        check: "checked here",
        status: "ok",
        found: `${deviceName(backend)}${isDefault ? ", by default" : ""}`,
      };
      yield await verdict("webgpu", async () => {
        const [lines] = await describeAdapter();
        return present(lines.join("; "));
      });
      yield await verdict(
        "wasm",
        async () => present((await describeCpu()).wasm),
      );
    },
  };
}

function present(description: string): Finding {
  const status = description.startsWith("none") ? "skipped" : "ok";
  return { status, found: description };
}

/** Returns all checks of a run that can be made. */
async function runChecks(
  trained: TrainedModel,
  { backend, flags, signal }: {
    readonly backend: Backend;
    readonly flags: Partial<CheckFlags>;
    readonly signal: AbortSignal;
  },
): Promise<CheckGroup[]> {
  const { checkpoint } = trained;
  const { blockSize } = checkpoint.config;
  const meaning = "it sees no future, and its text is not copied.";
  if (flags.data === undefined && trained.data === undefined) {
    return [fileChecks(trained), withoutText(meaning)];
  }
  try {
    const tokenizer = tokenizerOf(trained);
    const { data } = trained;
    const documents = data && (data.documents ?? false);
    const textOptions = { tokenizer, signal, documents };
    const { tokens } = await textOf(trained, flags.data, textOptions);
    const dataset = new Dataset(tokens, { blockSize, batchSize: ROWS });
    const model = await Model.load(checkpoint, { backend });
    const measured = async () =>
      await remeasure(await recordedLoss(trained), { model, dataset, signal });
    const subject = { model, tokenizer, signal, ...splitsOf(tokens) };
    return [
      fileChecks(trained, measured),
      batchChecks(dataset, subject.training, { signal }),
      ...trainedChecks(subject),
      ...ownSteps(trained, tokens, { backend, signal }),
    ];
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const unread = { name: "the model", meaning, check: "text or model" };
    return [fileChecks(trained), failed(unread, error)];
  }
}

/** Returns a group in place of the checks that need a text; an imported run has none. */
function withoutText(meaning: string): CheckGroup {
  return {
    name: "the model",
    meaning,
    async *run() {
      yield await verdict("text", () => ({
        status: "skipped",
        found: "no config.json beside it names a text; --data TEXT gives one",
      }));
    },
  };
}

/** Returns the checks of training steps from a run's own weights, on its own text; none if the file has no training. */
function ownSteps(
  { checkpoint }: TrainedModel,
  tokens: Tokens,
  { backend, signal }: {
    readonly backend: Backend;
    readonly signal: AbortSignal;
  },
): CheckGroup[] {
  const train = checkpoint.training?.config;
  if (train === undefined) return [];
  const { blockSize } = checkpoint.config;
  const { batchSize, seed } = train;
  const dataset = new Dataset(tokens, { blockSize, batchSize, seed });
  const training = { model: checkpoint, train, dataset };
  return [stepChecks(backend, training, { name: "this training", signal })];
}

/** Rows of an evaluation's batch. */
const ROWS = 16;

/** The most floating point operations of an evaluation that `check` repeats. */
const MOST_FLOPS = 1e12;

/** Checks that the weights have the validation loss that the run recorded, if an evaluation is short enough. */
async function remeasure(
  recorded: number | undefined,
  { model, dataset, signal }: {
    readonly model: Model;
    readonly dataset: Dataset;
    readonly signal: AbortSignal;
  },
): Promise<Finding> {
  const skipped = (found: string): Finding => ({ status: "skipped", found });
  if (recorded === undefined) {
    return skipped(
      "the run recorded no loss of the whole split at the checkpoint's step",
    );
  }
  if (dataset.size("val") * model.flopsPerToken / 3 > MOST_FLOPS) {
    return skipped("it would take too long; eval measures it");
  }
  const batches = dataset.evalBatches("val");
  return await compareLoss(recorded, { model, batches, signal });
}

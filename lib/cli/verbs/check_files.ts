/** Checks that a run's files are complete and agree with each other. */

import { dirname, join } from "@std/path";
import {
  type CheckGroup,
  type Finding,
  type Verdict,
  verdict,
} from "../../checks/verdict.ts";
import { type Checkpoint, decodeCheckpoint } from "../../formats/checkpoint.ts";
import { modelConfig } from "../../config/model.ts";
import { trainConfig } from "../../config/train.ts";
import { checkCount, flatParameters } from "../../model/parameters.ts";
import { parameterLayout } from "../../model/plans.ts";
import { exists, ifThere } from "../run/files.ts";
import { files, importedStep, readRunConfig } from "../run/directory.ts";
import { readEventLines } from "../run/events.ts";
import { count } from "../../report/numbers.ts";
import type { TrainedModel } from "./trained_model.ts";

/**
 * Verdicts on the files of a run, or on a checkpoint alone.
 *
 * @param remeasure compares the recorded loss with the weights, if possible
 */
export function fileChecks(
  trained: TrainedModel,
  remeasure?: () => Promise<Finding>,
): CheckGroup {
  return {
    name: "files",
    meaning:
      `${trained.path} is whole, and the files beside it are of the same run.`,
    run: () => checkFiles(trained, remeasure),
  };
}

async function* checkFiles(
  { path, checkpoint }: TrainedModel,
  remeasure: (() => Promise<Finding>) | undefined,
): AsyncGenerator<Verdict> {
  const directory = dirname(path);
  yield await verdict("checkpoint", () => checkTensors(checkpoint));
  yield await verdict(files.best, () => checkBest(directory, checkpoint));
  yield await verdict(files.config, () => checkConfig(directory, checkpoint));
  yield await verdict(files.metrics, () => checkMetrics(directory, checkpoint));
  if (remeasure) yield await verdict("recorded loss", remeasure);
}

/** Checks that the tensors are those of the configuration, and that their numbers are finite. */
function checkTensors({ config, tensors, training }: Checkpoint): Finding {
  const layout = parameterLayout(config);
  checkCount(layout, tensors);
  flatParameters(layout, { tensors });
  for (const [name, { data }] of tensors) {
    const at = (data as Float32Array).findIndex((x) => !Number.isFinite(x));
    if (at < 0) continue;
    const hint =
      "training diverged: use a lower --learning-rate, or go back to best.safetensors";
    return failed(`${name}[${at}] is ${data[at]}`, hint);
  }
  const parameters = `${count(layout.count)} parameters`;
  const steps = training ? `step ${training.step}` : "weights alone";
  const found = `${parameters}, ${tensors.size} tensors, all finite; ${steps}`;
  return { status: "ok", found };
}

async function checkBest(
  directory: string,
  { config }: Checkpoint,
): Promise<Finding> {
  const file = join(directory, files.best);
  const bytes = await ifThere(file, Deno.readFile(file));
  if (bytes === undefined) return missing(files.best);
  const best = decodeCheckpoint(bytes);
  const other = firstDifference(config, best.config);
  if (other !== undefined) return notTheSame(`in its model ${other}`);
  return checkTensors(best);
}

async function checkConfig(
  directory: string,
  { config, training, tokenizer }: Checkpoint,
): Promise<Finding> {
  const record = await readRunConfig(directory);
  if (record === undefined) return missing(files.config);
  const part = (name: string) => record[name] as Record<string, unknown>;
  const model = firstDifference(config, modelConfig(part("model") as never));
  if (model !== undefined) return notTheSame(`of the model, ${model}`);
  if (training !== undefined) {
    const train = firstDifference(training.config, trainConfig(part("train")));
    if (train !== undefined) return notTheSame(`of the training, ${train}`);
  }
  const kind = part("tokenizer")?.["kind"];
  if (tokenizer !== undefined && kind !== tokenizer.kind) {
    return notTheSame(`the tokenizer is ${kind}, not ${tokenizer.kind}`);
  }
  const found = "model, training and tokenizer are the checkpoint's";
  return { status: "ok", found };
}

/** Returns the first field in which two configurations differ, with both values. */
function firstDifference(a: object, b: object): string | undefined {
  const other = new Map(Object.entries(b));
  for (const [name, value] of Object.entries(a)) {
    if (other.get(name) === value) continue;
    return `${name} is ${other.get(name)}, in the checkpoint ${value}`;
  }
  return undefined;
}

async function checkMetrics(
  directory: string,
  { training }: Checkpoint,
): Promise<Finding> {
  const path = join(directory, files.metrics);
  if (!await exists(path)) return missing(files.metrics);
  // A training that another program began has steps of which nothing is recorded here.
  let step = importedStep(await readRunConfig(directory));
  const first = step + 1;
  let evaluations = 0;
  let number = 0;
  let damaged = 0;
  const wrongLine = (reason: string) =>
    failed(
      `line ${number}: ${reason}`,
      "its curve is not this run's: the file was edited, or two processes wrote to it",
    );
  const noEvent = () => wrongLine("it is not an event");
  const onDamaged = () => {
    if (damaged++ === 0) number++;
  };
  for await (const { event } of readEventLines(path, { onDamaged })) {
    if (damaged > 0) return noEvent();
    number++;
    if (event.event === "eval") evaluations++;
    if (event.event !== "step") continue;
    if (event.step !== step + 1) {
      return wrongLine(`step ${event.step} comes after step ${step}`);
    }
    step = event.step;
    if (event.loss === null) {
      return wrongLine(`the loss of step ${step} is not a number`);
    }
  }
  // Only the last line may be cut short.
  if (damaged > 1) return noEvent();
  if (training !== undefined && step < training.step) {
    return failed(
      `it ends with step ${step}, the checkpoint is of step ${training.step}`,
      "lines are missing at its end",
    );
  }
  const found =
    `steps ${first} to ${step}, each once; ${evaluations} evaluations`;
  if (damaged === 0) {
    return { status: "ok", found, numbers: { steps: step, evaluations } };
  }
  return {
    status: "warning",
    found: `${found}; its last line is cut short`,
    hint: "the run was killed or is still training; --resume repairs the file",
  };
}

/** Returns the validation loss that a run recorded of the whole split, at the step that its checkpoint is of. */
export async function recordedLoss(
  { path, checkpoint: { training } }: TrainedModel,
): Promise<number | undefined> {
  let loss: number | undefined;
  const file = join(dirname(path), files.metrics);
  for await (const { event } of readEventLines(file, { lastStep: true })) {
    if (event.event !== "eval" || event.step !== training?.step) continue;
    if (event.tokens !== event.ofTokens) continue;
    loss = typeof event.valLoss === "number" ? event.valLoss : undefined;
  }
  return loss;
}

function missing(name: string): Finding {
  return { status: "skipped", found: `there is no ${name} beside it` };
}

function failed(found: string, hint: string): Finding {
  return { status: "failed", found, hint };
}

function notTheSame(difference: string): Finding {
  return failed(difference, "the file is of another run, or was edited");
}

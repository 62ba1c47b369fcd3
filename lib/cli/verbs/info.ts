/** `info`: describes this machine and a model. Nothing is trained or run. */

import { join } from "@std/path";
import { NoAdapterError } from "../../backends/backend.ts";
import { openBackend } from "../../backends/open.ts";
import { openWasm } from "../../backends/wasm/engine.ts";
import { openWebGpu } from "../../backends/webgpu/engine.ts";
import {
  type ModelConfig,
  modelConfig,
  modelFields,
} from "../../config/model.ts";
import { type TrainConfig, trainConfig } from "../../config/train.ts";
import { reasonGiven } from "../../refusal.ts";
import { formatPlan } from "../../graph/compile.ts";
import type { Plan } from "../../graph/plan.ts";
import { trainPlan } from "../../train/plan.ts";
import { cachedPlan, evalPlan } from "../../model/plans.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import { type Arguments, given } from "../command/arguments.ts";
import { corpusName } from "../text/corpus.ts";
import {
  checkUsage,
  commandError,
  exitCode,
  usageError,
} from "../command/errors.ts";
import { exists, ifThere } from "../run/files.ts";
import { flagName } from "../command/flag.ts";
import { localTime } from "./list.ts";
import { bytes, heading, modelCard, modelFacts } from "./model_card.ts";
import { placement } from "./placement.ts";
import { VERSION } from "../command/program.ts";
import { files, hasCheckpoint, readRunConfig } from "../run/directory.ts";
import { isForeign, runRemedy } from "../run/remedy.ts";
import { readRunSummary, type RunSummary } from "../run/summary.ts";
import { forOutput, writeOutput } from "../terminal/terminal.ts";
import { readTrainedModel } from "./trained_model.ts";
import { memoryOn } from "./training_memory.ts";
import type { InfoFlags } from "./flags.ts";

/** Prints the description that the arguments ask for; returns the exit code. */
export async function info(
  { flags, operand }: Arguments<InfoFlags>,
): Promise<number> {
  const { json = false, ...about } = flags;
  const isOfModel = operand !== undefined || Object.keys(about).length > 0;
  const [facts, text] = isOfModel
    ? await describeModel(about, operand)
    : await describeMachine();
  await writeOutput(json ? `${JSON.stringify(facts)}\n` : forOutput(text));
  return exitCode.ok;
}

/** A description for programs (facts) and for people (text). */
type Description = [facts: object, text: string];

/** A model and how it is or would be trained. */
interface Subject {
  readonly title: string;
  /** Facts other than its configuration. */
  readonly facts: object;
  readonly config: ModelConfig;
  readonly train: TrainConfig;
  readonly run?: RunSummary | undefined;
}

async function describeModel(
  flags: Partial<InfoFlags>,
  operand: string | undefined,
): Promise<Description> {
  const subject = operand === undefined
    ? modelOfFlags(flags)
    : await modelOfRun(operand, flags);
  if (flags.plan !== undefined) {
    const asked = plan(flags.plan, subject);
    return [asked, `${formatPlan(asked)}\n`];
  }
  const { title, facts, config, train, run } = subject;
  const { device, ...options } = placement(flags);
  await using backend = await openBackend(device, options);
  const onDevice = memoryOn(backend, { model: config, train });
  const model = modelFacts(config, plan("train", subject));
  const text = [
    title,
    ...(run ? [runCard(run)] : []),
    modelCard(model, onDevice),
  ];
  return [
    { ...facts, run: run ?? null, ...model, onDevice, train },
    `${text.join("\n\n")}\n`,
  ];
}

/** Describes the state of a run, its losses, and the command that made it. */
function runCard(run: RunSummary): string {
  const { state, step, maxSteps, why, began, command } = run;
  const loss = (value: number | null) => value?.toFixed(4) ?? "not finite";
  const losses = run.evalStep === null
    ? run.loss === null ? "none yet" : `${loss(run.loss)} of the last batch`
    : `train ${loss(run.trainLoss)}, validation ${
      loss(run.valLoss)
    } at step ${run.evalStep}`;
  return [
    heading("run"),
    `state       ${state}, ${step} of ${maxSteps ?? "?"} steps${
      why === null ? "" : `: ${why}`
    }`,
    `loss        ${losses}`,
    ...(run.bestStep === null ? [] : [
      `lowest      validation ${loss(run.bestValLoss)} at step ${run.bestStep}`,
    ]),
    `began       ${localTime(began)}`,
    `command     ${command ?? "-"}`,
    `size        ${bytes(run.bytes)}`,
  ].join("\n");
}

function plan(
  name: InfoFlags["plan"],
  { config, train }: Subject,
): Plan {
  const shape = { B: train.batchSize, T: config.blockSize };
  switch (name) {
    case "train":
      return trainPlan(config, train, shape);
    case "eval":
      return evalPlan(config, shape);
    case "prefill":
      return cachedPlan(config, { B: 1, T: config.blockSize });
    case "decode":
      return cachedPlan(config, { B: 1, T: 1 });
  }
}

/** Settings of the training that a flag may change. */
const trainingFields = ["batchSize", "precision"] as const;

/** The vocabulary size of tiny Shakespeare's characters, used when the text is unknown. */
const CHARS = 65;

function modelOfFlags(flags: Partial<InfoFlags>): Subject {
  const name = flags.preset ?? DEFAULT_PRESET;
  const { about, tokenizer, model, train } = presets[name];
  const vocabSize = { ascii: 128, bytes: 256, chars: CHARS }[tokenizer];
  return {
    title: `${name}: ${about}`,
    facts: { preset: name, tokenizer },
    config: checkUsage(() =>
      modelConfig({
        vocabSize,
        ...model,
        ...given(flags, modelFields.keys()),
      })
    ),
    train: checkUsage(() =>
      trainConfig({ ...train, ...given(flags, trainingFields) })
    ),
  };
}

async function modelOfRun(
  operand: string,
  flags: Partial<InfoFlags>,
): Promise<Subject> {
  const entry = await ifThere(operand, Deno.stat(operand));
  const isRun = entry?.isDirectory && await exists(join(operand, files.config));
  const run = isRun ? await readRunSummary(operand) : undefined;
  const other = Object.keys(flags).find((key) =>
    !["plan", ...trainingFields, "device", "threads", "blas"].includes(key)
  );
  if (other !== undefined) {
    throw usageError(
      `use --${flagName(other)} with ${operand}`,
      "the architecture of a trained model cannot change",
    );
  }
  const changed = given(flags, trainingFields);
  if (run !== undefined && !await hasCheckpoint(operand)) {
    const { model, train } = await readConfigs(operand);
    return {
      title: `${operand}, no checkpoint yet`,
      facts: { path: null },
      config: model,
      train: checkUsage(() => trainConfig({ ...train, ...changed })),
      run,
    };
  }
  const { path, checkpoint, data } = await readTrainedModel(operand);
  const { config, training, tokenizer } = checkpoint;
  const facts = [
    path,
    ...(training ? [`${training.step} steps`] : []),
    ...(data ? [`on ${corpusName(data)}`] : []),
    ...(tokenizer ? [`tokenizer ${tokenizer.kind}`] : []),
  ];
  return {
    title: facts.join(", "),
    facts: {
      path,
      step: training?.step ?? null,
      data: data ?? null,
      tokenizer: tokenizer?.kind ?? null,
    },
    config,
    train: checkUsage(() => trainConfig({ ...training?.config, ...changed })),
    run,
  };
}

/** Reads the model and training configurations from a run's `config.json`. */
async function readConfigs(
  path: string,
): Promise<{ model: ModelConfig; train: TrainConfig }> {
  const config = await readRunConfig(path);
  try {
    return {
      model: modelConfig(Object(config?.["model"])),
      train: trainConfig(Object(config?.["train"])),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const file = join(path, files.config);
    throw commandError(
      `use ${file}`,
      reasonGiven(error),
      await isForeign(path) ? await runRemedy(path) : undefined,
    );
  }
}

async function describeMachine(): Promise<Description> {
  const { os, arch } = Deno.build;
  const [adapter, isGpu, webgpu] = await describeAdapter();
  const { wasm, hint } = await describeCpu();
  const auto = isGpu ? "measured" : "wasm";
  const text = [
    `lm ${VERSION} on Deno ${Deno.version.deno}, ${os} ${arch}`,
    "",
    ...adapter.map((line, index) =>
      `${(index === 0 ? "webgpu" : "").padEnd(10)} ${line}`
    ),
    `wasm       ${wasm}`,
    ...(hint === undefined ? [] : [`           ${hint}`]),
    "reference  float64 in TypeScript on one thread: exact, slow, anywhere",
    "",
    isGpu
      ? "--device auto measures webgpu and wasm with the work at hand, and takes the faster"
      : "--device auto takes wasm",
  ].join("\n");
  return [
    { lm: VERSION, deno: Deno.version.deno, os, arch, webgpu, wasm, auto },
    `${text}\n`,
  ];
}

/** Returns the CPU engine, or the reason why there is none; and what would make it faster. */
export async function describeCpu(): Promise<{ wasm: string; hint?: string }> {
  try {
    await using backend = await openWasm({ blas: "auto" });
    const { description: wasm, blas } = backend;
    return blas === undefined ? { wasm, hint: blasHint() } : { wasm };
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    return { wasm: `none: ${error.message}` };
  }
}

/** Says how to get a BLAS that the CPU engine finds. */
function blasHint(): string {
  const { state } = Deno.permissions.querySync({ name: "ffi" });
  if (state !== "granted") {
    return "with --allow-ffi it may call a BLAS of this machine, and is about twice as fast";
  }
  const install: Readonly<Partial<Record<string, string>>> = {
    linux:
      "apt install libopenblas0-pthread, or dnf install openblas-threads, or pacman -S openblas",
    darwin: "brew install openblas",
  };
  const how = install[Deno.build.os];
  return `about twice as fast with a BLAS: ${
    how ? `${how}, or ` : ""
  }--blas PATH`;
}

/** Returns the WebGPU adapter and its limits in bytes and invocations, or the reason why there is none; and whether it is hardware, which `auto` measures. */
export async function describeAdapter(): Promise<
  [lines: string[], isGpu: boolean, facts: object]
> {
  try {
    await using backend = await openWebGpu({ adapter: "any" });
    const { description, software, device: { limits } } = backend;
    const facts = {
      ...{ description, software, maxBufferSize: limits.maxBufferSize },
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeInvocationsPerWorkgroup:
        limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    };
    const binding = bytes(facts.maxStorageBufferBindingSize);
    const shared = bytes(facts.maxComputeWorkgroupStorageSize);
    const lines = [
      description,
      `buffers up to ${
        bytes(facts.maxBufferSize)
      }, ${binding} of one for a kernel`,
      `workgroups up to ${facts.maxComputeInvocationsPerWorkgroup} invocations, with ${shared} of shared memory`,
    ];
    return [lines, !software, facts];
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    const { message, hint } = error;
    return [[`none: ${message}`, hint], false, { error: message, hint }];
  }
}

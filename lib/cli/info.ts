/** `info`: what this machine can do, and what a model is made of. Nothing is trained or run. */

import { NoAdapterError } from "../backends/backend.ts";
import { openWasm } from "../backends/wasm.ts";
import { openWebGpu } from "../backends/webgpu.ts";
import {
  type ModelConfig,
  modelConfig,
  type TrainConfig,
  trainConfig,
} from "../config.ts";
import { modelFields } from "../config_fields.ts";
import { formatPlan } from "../graph/compile.ts";
import type { Plan } from "../graph/plan.ts";
import { cachedPlan, evalPlan, trainPlan } from "../plans.ts";
import { DEFAULT_PRESET, presets } from "../presets.ts";
import { type Arguments, given } from "./arguments.ts";
import { corpusName } from "./corpus.ts";
import { checkUsage, exitCode, UsageError } from "./errors.ts";
import { flagName } from "./flag.ts";
import { bytes, modelCard } from "./model_card.ts";
import { VERSION } from "./program.ts";
import { forOutput, writeOutput } from "./terminal.ts";
import { readTrainedModel, type TrainedModel } from "./trained_model.ts";
import type { InfoFlags } from "./verbs.ts";

/** Says what is asked for; gives the exit code. */
export async function info(
  { flags, operand }: Arguments<InfoFlags>,
): Promise<number> {
  const aboutModel = operand !== undefined || Object.keys(flags).length > 0;
  const text = aboutModel
    ? await describeModel(flags, operand)
    : await describeMachine();
  await writeOutput(`${forOutput(text)}\n`);
  return exitCode.ok;
}

/** A model and how it is or would be trained. */
interface Subject {
  readonly title: string;
  readonly config: ModelConfig;
  readonly train: TrainConfig;
}

async function describeModel(
  flags: Partial<InfoFlags>,
  run: string | undefined,
): Promise<string> {
  const subject = run === undefined
    ? modelOfFlags(flags)
    : modelOfRun(await readTrainedModel(run), flags);
  if (flags.plan !== undefined) return formatPlan(plan(flags.plan, subject));
  const { title, config } = subject;
  return `${title}\n\n${modelCard(config, plan("train", subject))}`;
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

/** Tokens of tiny Shakespeare's characters, which stand for those of a text that is not known. */
const CHARS = 65;

function modelOfFlags(flags: Partial<InfoFlags>): Subject {
  const name = flags.preset ?? DEFAULT_PRESET;
  const { about, tokenizer, model, train } = presets[name];
  const vocabSize = { ascii: 128, bytes: 256, chars: CHARS }[tokenizer];
  return {
    title: `${name}: ${about}`,
    config: checkUsage(() =>
      modelConfig({
        vocabSize,
        ...model,
        ...given(flags, modelFields.keys()),
      })
    ),
    train: checkUsage(() =>
      trainConfig({ ...train, ...given(flags, ["batchSize"]) })
    ),
  };
}

function modelOfRun(
  { path, checkpoint, data }: TrainedModel,
  flags: Partial<InfoFlags>,
): Subject {
  const other = Object.keys(flags).find((key) =>
    key !== "plan" && key !== "batchSize"
  );
  if (other !== undefined) {
    throw new UsageError(
      `Cannot use --${
        flagName(other)
      } with ${path}: a trained model is what it is`,
    );
  }
  const { config, training, tokenizer } = checkpoint;
  const facts = [
    path,
    ...(training ? [`${training.step} steps`] : []),
    ...(data ? [`on ${corpusName(data)}`] : []),
    ...(tokenizer ? [`tokenizer ${tokenizer.kind}`] : []),
  ];
  return {
    title: facts.join(", "),
    config,
    train: checkUsage(() =>
      trainConfig({ ...training?.config, ...given(flags, ["batchSize"]) })
    ),
  };
}

async function describeMachine(): Promise<string> {
  const { os, arch } = Deno.build;
  const [adapter, isGpu] = await describeAdapter();
  const cpu = await describeCpu();
  return [
    `lm ${VERSION} on Deno ${Deno.version.deno}, ${os} ${arch}`,
    "",
    ...adapter.map((line, index) =>
      `${(index === 0 ? "webgpu" : "").padEnd(10)} ${line}`
    ),
    `wasm       ${cpu}`,
    "reference  float64 in TypeScript on one thread: exact, slow, anywhere",
    "",
    `--device auto takes ${isGpu ? "webgpu" : "wasm"}`,
  ].join("\n");
}

/** The CPU engine, or why there is none. */
export async function describeCpu(): Promise<string> {
  try {
    await using backend = await openWasm();
    return backend.description;
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    return `none: ${error.message}`;
  }
}

/** The WebGPU adapter and its limits, or why there is none; and whether `auto` takes it. */
export async function describeAdapter(): Promise<
  [lines: string[], isGpu: boolean]
> {
  try {
    await using backend = await openWebGpu({ adapter: "any" });
    const { limits } = backend.device;
    const lines = [
      backend.description,
      `buffers to ${bytes(limits.maxBufferSize)}, of which a kernel sees ${
        bytes(limits.maxStorageBufferBindingSize)
      }`,
      `workgroups of ${limits.maxComputeInvocationsPerWorkgroup} with ${
        bytes(limits.maxComputeWorkgroupStorageSize)
      } in common`,
    ];
    return [lines, !backend.software];
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    return [[`none: ${error.message}`, error.hint], false];
  }
}

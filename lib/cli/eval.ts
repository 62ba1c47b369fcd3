/** `eval`: a trained model's loss on a whole split of a text. */

import { Dataset } from "../dataset.ts";
import { Model } from "../language_model.ts";
import type { Arguments } from "./arguments.ts";
import {
  charactersPerToken,
  type Corpus,
  loadCorpus,
  loadRecorded,
} from "./corpus.ts";
import { deviceName } from "./device_name.ts";
import { CommandError, exitCode, UsageError, withFlagNames } from "./errors.ts";
import { Interrupt } from "./interrupt.ts";
import { placement } from "./placement.ts";
import {
  canRedraw,
  forOutput,
  StatusLine,
  writeError,
  writeOutput,
} from "./terminal.ts";
import {
  readTrainedModel,
  tokenizerOf,
  type TrainedModel,
} from "./trained_model.ts";
import type { EvalFlags } from "./verbs.ts";

/** Evaluates; gives the exit code. */
export async function evaluate(
  { flags, operand }: Arguments<EvalFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { split = "val", json = false } = flags;
  const trained = await readTrainedModel(operand, { best: flags.best });
  const { config, training } = trained.checkpoint;
  const blockSize = flags.blockSize ?? config.blockSize;
  const batchSize = flags.batchSize ?? 16;
  checkShape(blockSize, config.blockSize);
  const tokenizer = tokenizerOf(trained);
  const corpus = await findText(trained, flags.data, interrupt.signal);
  const tokens = tokenizer.encode(corpus.text);
  const dataset = cut(tokens, { blockSize, batchSize });
  await using model = await Model.load(
    trained.checkpoint,
    placement(flags),
  );
  writeError(`${trained.path} on ${deviceName(model.backend)}\n`);

  const status = new StatusLine(canRedraw());
  status.show(() => "evaluating");
  let loss: number;
  try {
    loss = await model.evaluate(dataset.evalBatches(split), {
      T: blockSize,
      signal: interrupt.signal,
    });
  } finally {
    status.clear();
  }
  const size = dataset.size("train");
  const part = split === "train"
    ? tokens.subarray(0, size)
    : tokens.subarray(size);
  const result: Result = {
    step: training?.step,
    data: corpus.record.name ?? corpus.record.file!,
    split,
    tokens: part.length - 1,
    loss,
    bitsPerChar: loss / Math.LN2 / charactersPerToken(tokenizer, part),
    perplexity: Math.exp(loss),
  };
  await writeOutput(json ? asJson(result) : forOutput(asText(result)));
  return exitCode.ok;
}

/** What an evaluation says. */
interface Result {
  readonly step: number | undefined;
  readonly data: string;
  readonly split: "train" | "val";
  /** Tokens that were predicted. */
  readonly tokens: number;
  /** Plain cross-entropy in nats per token. */
  readonly loss: number;
  readonly bitsPerChar: number;
  readonly perplexity: number;
}

function checkShape(blockSize: number, most: number): void {
  if (blockSize <= most) return;
  throw new UsageError(
    `Cannot evaluate: --block-size (${blockSize}) is above the model's own (${most})`,
  );
}

async function findText(
  { path, data }: TrainedModel,
  given: string | undefined,
  signal: AbortSignal,
): Promise<Corpus> {
  if (given !== undefined) return await loadCorpus(given, signal);
  if (data !== undefined) return await loadRecorded(data, signal);
  throw new CommandError(
    `Cannot evaluate ${path}: no config.json beside it says on which text`,
    "--data NAME or --data FILE does",
  );
}

function cut(
  tokens: Int32Array,
  shape: { readonly blockSize: number; readonly batchSize: number },
): Dataset {
  try {
    return new Dataset(tokens, shape);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CommandError(
      withFlagNames(error.message),
      "a smaller --block-size needs less text",
    );
  }
}

function asJson({ loss, split, ...result }: Result): string {
  const event = { event: "eval", split, [`${split}Loss`]: loss, ...result };
  return `${JSON.stringify(event)}\n`;
}

function asText(
  { step, data, split, tokens, loss, bitsPerChar, perplexity }: Result,
): string {
  const name = split === "val" ? "validation" : "training";
  return [
    ...(step === undefined ? [] : [`after step          ${step}`]),
    `text                ${data}, ${name} split`,
    `tokens              ${tokens.toLocaleString("en")}`,
    `loss                ${loss.toFixed(4)} nats per token`,
    `bits per character  ${bitsPerChar.toFixed(4)}`,
    `perplexity          ${perplexity.toFixed(3)}`,
    "",
  ].join("\n");
}

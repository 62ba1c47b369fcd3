/** `eval`: measures a trained model's loss on a whole split of a text. */

import { batchesWithin, evalWindows, trainSize } from "../../text/dataset.ts";
import { Model } from "../../model/model.ts";
import { charactersIn } from "../../text/tokenizer.ts";
import type { Tokens } from "../../text/tokens.ts";
import type { Arguments } from "../command/arguments.ts";
import {
  type Corpus,
  corpusName,
  type CorpusOptions,
  loadCorpus,
  loadRecorded,
} from "../text/corpus.ts";
import { deviceName } from "./device_name.ts";
import { CommandError, exitCode, UsageError } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { placement } from "./placement.ts";
import {
  canRedraw,
  forOutput,
  StatusLine,
  writeError,
  writeOutput,
} from "../terminal/terminal.ts";
import {
  readTrainedModel,
  tokenizerOf,
  type TrainedModel,
} from "./trained_model.ts";
import type { EvalFlags, EvalSplit } from "./flags.ts";

/** Evaluates; returns the exit code. */
export async function evaluate(
  { flags, operand }: Arguments<EvalFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  const { json = false } = flags;
  const trained = await readTrainedModel(operand, { best: flags.best });
  const { config, training } = trained.checkpoint;
  const blockSize = flags.blockSize ?? config.blockSize;
  const batchSize = flags.batchSize ?? 16;
  checkShape(blockSize, config.blockSize);
  const tokenizer = tokenizerOf(trained);
  const { tokens, record } = await findText(trained, flags.data, {
    tokenizer,
    signal: interrupt.signal,
  });
  const isOther = trained.data !== undefined &&
    trained.data.sha256 !== record.sha256;
  const split = flags.split ?? (isOther ? "all" : "val");
  const name = corpusName(record);
  const part = partOf(tokens, { split, name });
  await using model = await Model.load(
    trained.checkpoint,
    placement(flags),
  );
  writeError(`${trained.path} on ${deviceName(model.backend)}\n`);

  const status = new StatusLine(canRedraw());
  const shape = { blockSize, batchSize };
  const limit = flags.evalTokens || Infinity;
  const maxBatches = batchesWithin(limit, part, shape);
  const windows = evalWindows(part, { ...shape, maxBatches });
  const most = Math.min(limit, part.length - 1);
  let measured = 0;
  let characters = 0;
  const batches = function* () {
    for (const batch of windows) {
      const share = Math.floor(100 * measured / most);
      status.show(() => `evaluating, ${share} %`);
      measured += batch.count;
      characters += charactersIn(tokenizer, batch.targets);
      yield batch;
    }
  };
  let loss: number;
  try {
    loss = await model.evaluate(batches(), {
      signal: interrupt.signal,
    });
  } finally {
    status.clear();
  }
  const result: Result = {
    step: training?.step,
    data: name,
    split,
    tokens: measured,
    ofTokens: part.length - 1,
    loss,
    bitsPerChar: loss * measured / Math.LN2 / Math.max(1, characters),
    perplexity: Math.exp(loss),
  };
  await writeOutput(json ? asJson(result) : forOutput(asText(result)));
  return exitCode.ok;
}

/** The result of an evaluation. */
interface Result {
  readonly step: number | undefined;
  readonly data: string;
  readonly split: EvalSplit;
  /** Tokens that were predicted. */
  readonly tokens: number;
  /** Tokens that could be predicted. */
  readonly ofTokens: number;
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
  given: readonly string[] | undefined,
  options: CorpusOptions,
): Promise<Corpus> {
  if (given !== undefined) return await loadCorpus(given, options);
  if (data !== undefined) return await loadRecorded(data, options);
  throw new CommandError(
    `Cannot evaluate ${path}: no config.json beside it names its text`,
    "--data NAME or --data FILE names it",
  );
}

/** Returns the tokens of a split; refuses one without anything to predict. */
function partOf(
  tokens: Tokens,
  { split, name }: { readonly split: EvalSplit; readonly name: string },
): Tokens {
  const size = trainSize(tokens.length);
  const part = split === "all"
    ? tokens
    : split === "val"
    ? tokens.subarray(size)
    : tokens.subarray(0, size);
  if (part.length >= 2) return part;
  throw new CommandError(
    `Cannot evaluate on the ${
      splitNames[split]
    } of ${name}: it has ${part.length} tokens, needs at least 2`,
    split === "all" ? undefined : "--split all measures the whole text",
  );
}

const splitNames: Readonly<Record<EvalSplit, string>> = {
  val: "validation split",
  train: "training split",
  all: "whole text",
};

function asJson({ loss, split, ...result }: Result): string {
  const event = { event: "eval", split, [`${split}Loss`]: loss, ...result };
  return `${JSON.stringify(event)}\n`;
}

function asText(
  { step, data, split, tokens, ofTokens, loss, bitsPerChar, perplexity }:
    Result,
): string {
  return [
    ...(step === undefined ? [] : [`after step          ${step}`]),
    `text                ${data}, ${splitNames[split]}`,
    `tokens              ${tokens.toLocaleString("en")}${
      tokens < ofTokens ? ` of ${ofTokens.toLocaleString("en")}` : ""
    }`,
    `loss                ${loss.toFixed(4)} nats per token`,
    `bits per character  ${bitsPerChar.toFixed(4)}`,
    `perplexity          ${perplexity.toFixed(3)}`,
    "",
  ].join("\n");
}
